'use strict'

// The results as an SVG chart: a panel a metric, a group of bars a case, a bar a side, relative to the runtime's own agent.

const { metrics } = require('./cases.js')
const { labels, number } = require('./table.js')

const PANELS = [
  { metric: 'perSecond', note: 'longer is better' },
  { metric: 'jsMicros', note: 'shorter is better' },
]
const COLOURS = {
  keepwire: '#d9480f',
  own: '#e8590c',
  runtime: '#495057',
  agentkeepalive: '#868e96',
  undici: '#adb5bd',
}
const PANEL_WIDTH = 520
const BAR = { left: 150, width: 240, height: 16, gap: 3 }
const TOP = 92
const GROUP_HEAD = 26

/** @param {{ runtime: object, cases: object[] }} report */
function drawChart({ runtime, cases }) {
  const heights = cases.map(({ sides }) => GROUP_HEAD + sides.length * (BAR.height + BAR.gap) + 14)
  const width = PANELS.length * PANEL_WIDTH
  const height = TOP + heights.reduce((sum, value) => sum + value, 0)
  const panels = PANELS.map((panel, index) => drawPanel(panel, index * PANEL_WIDTH, cases, heights))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="${width}" height="${height}" fill="#fff"/>
${text(20, 32, `keepwire on ${runtime.name} ${runtime.version}`, 'font-size="18" font-weight="600"')}
${panels.join('\n')}
</svg>
`
}

function drawPanel({ metric, note }, left, cases, heights) {
  const measured = cases
    .flatMap(({ sides }) => sides.map((side) => relative(side, sides, metric)))
    .filter(Number.isFinite)
  const scale = BAR.width / Math.max(1, ...measured)
  const parts = [
    text(left + 20, 64, `${metrics[metric].title}, relative to the runtime's own agent (${note})`, 'font-weight="600"'),
  ]
  let top = TOP
  for (const [index, { title, sides }] of cases.entries()) {
    parts.push(text(left + 20, top + 14, title, 'fill="#343a40"'))
    for (const [row, side] of sides.entries()) {
      const y = top + GROUP_HEAD + row * (BAR.height + BAR.gap)
      parts.push(drawBar(left, y, side, relative(side, sides, metric), scale, metric))
    }
    top += heights[index]
  }
  return parts.join('\n')
}

function drawBar(left, y, side, value, scale, metric) {
  const label = text(left + BAR.left - 8, y + 12, labels[side.name], 'text-anchor="end" fill="#495057"')
  if (!Number.isFinite(value)) return label
  const length = (value * scale).toFixed(1)
  const figure = `${value.toFixed(2)}× (${number(side.medians[metric], metrics[metric].digits)})`
  return `${label}
<rect x="${left + BAR.left}" y="${y}" width="${length}" height="${BAR.height}" rx="2" fill="${COLOURS[side.name]}"/>
${text(left + BAR.left + Number(length) + 6, y + 12, figure, 'fill="#343a40"')}`
}

/** NaN where it was not measured. */
function relative(side, sides, metric) {
  const own = sides.find(({ name }) => name === 'runtime')
  return (side.medians[metric] ?? Number.NaN) / (own?.medians[metric] ?? Number.NaN)
}

function text(x, y, content, attributes) {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`
}

module.exports = { drawChart }
