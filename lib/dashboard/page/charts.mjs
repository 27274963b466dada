// Charts of a page: lines and areas as SVG, heat maps on a canvas.

import { h, set, svg } from './dom.mjs'

const WIDTH = 300
const HEIGHT = 64

/** Seconds without a point, after which there is a gap. */
const GAP_MS = 5000

function scaled(points, { since, until, most }) {
  return points.map(([at, value]) => [
    (WIDTH * (at - since)) / Math.max(1, until - since),
    HEIGHT - (HEIGHT * value) / Math.max(most, Number.MIN_VALUE),
    at,
  ])
}

/** Pieces that are not interrupted. */
function pieces(points) {
  const all = []
  for (const point of points) {
    const last = all.at(-1)
    if (last === undefined || point[2] - last.at(-1)[2] > GAP_MS) all.push([point])
    else last.push(point)
  }
  return all
}

const path = (points) => points.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')

/** A chart's frame: an SVG that is as wide as there is room, the time below it, and what is under the pointer. */
function frame(label, classes, read) {
  const picture = svg('svg', {
    class: `chart ${classes}`,
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': label,
  })
  const [from, reading, to] = [h('span'), h('span'), h('span', {}, 'now')]
  let pointer = null
  const told = () => {
    reading.textContent = pointer === null ? '' : read(pointer)
  }
  picture.addEventListener('pointermove', ({ clientX }) => {
    const { left, width } = picture.getBoundingClientRect()
    pointer = (clientX - left) / width
    told()
  })
  picture.addEventListener('pointerleave', () => {
    pointer = null
    told()
  })
  const element = h('div', {}, picture, h('div', { class: 'axis' }, from, reading, to))
  return {
    element,
    picture,
    since(start, end) {
      const seconds = Math.round((end - start) / 1000)
      from.textContent = seconds < 90 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`
      told()
    },
  }
}

const nearest = (points, at) =>
  points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best))

/** One line over time. `show` words a value. */
export function lineChart(label, show, { classes = '', least = 1 } = {}) {
  let points = []
  let span = { since: 0, until: 1, most: 1 }
  const { element, picture, since } = frame(label, classes, (share) => {
    if (points.length === 0) return ''
    const [at, value] = nearest(points, span.since + share * (span.until - span.since))
    return `${show(value)}, ${Math.round((span.until - at) / 1000)} s ago`
  })
  const area = svg('path', { class: 'area' })
  const line = svg('path', { class: 'line' })
  picture.append(area, line)
  return {
    element,
    update(given) {
      points = given
      if (points.length === 0) return
      span = {
        since: points[0][0],
        until: points.at(-1)[0],
        most: Math.max(least, ...points.map(([, value]) => value)),
      }
      const parts = pieces(scaled(points, span))
      set(line, 'd', parts.map(path).join(''))
      set(
        area,
        'd',
        parts
          .map((part) => `${path(part)}L${part.at(-1)[0].toFixed(1)} ${HEIGHT}L${part[0][0].toFixed(1)} ${HEIGHT}Z`)
          .join(''),
      )
      since(span.since, span.until)
    },
  }
}

/** How many there are of each, one on top of the other, over time. Points: when, then a number for each name. */
export function stackChart(label, names, { classes = '' } = {}) {
  let points = []
  let span = { since: 0, until: 1, most: 1 }
  const { element, picture, since } = frame(label, classes, (share) => {
    if (points.length === 0) return ''
    const [at, ...values] = nearest(points, span.since + share * (span.until - span.since))
    return `${values.map((value, of) => `${value} ${names[of]}`).join(', ')}, ${Math.round((span.until - at) / 1000)} s ago`
  })
  const areas = names.map((name) => picture.appendChild(svg('path', { class: `stack ${name}` })))
  return {
    element,
    update(given) {
      points = given
      if (points.length === 0) return
      const sums = points.map(([, ...values]) => values.reduce((sum, value) => sum + value, 0))
      span = { since: points[0][0], until: points.at(-1)[0], most: Math.max(1, ...sums) }
      let below = points.map(([at]) => [at, 0])
      for (const [of, area] of areas.entries()) {
        const above = points.map((point, index) => [point[0], below[index][1] + point[of + 1]])
        const [low, high] = [pieces(scaled(below, span)), pieces(scaled(above, span))]
        set(area, 'd', high.map((part, index) => `${path(part)}L${path([...low[index]].reverse()).slice(1)}Z`).join(''))
        below = above
      }
      since(span.since, span.until)
    },
  }
}

const LOWEST_MS = 0.1
const DECADES = 6
const STEPS = 4

/** How long things took, a column each second, a row each quarter of a decade; the darker the more. */
export function heatMap(label) {
  const columns = 120
  const rows = DECADES * STEPS
  const canvas = h('canvas', { width: columns, height: rows, role: 'img', 'aria-label': label })
  const ticks = h(
    'div',
    { class: 'ticks' },
    ...['100 s', '10 s', '1 s', '100 ms', '10 ms', '1 ms', '0.1 ms'].map((text) => h('span', {}, text)),
  )
  return {
    element: h(
      'div',
      {},
      h('div', { class: 'heat' }, ticks, canvas),
      h('div', { class: 'axis' }, h('span', {}, '2 min ago'), h('span', {}, 'now')),
    ),
    update(seconds) {
      const context = canvas.getContext('2d')
      context.clearRect(0, 0, columns, rows)
      context.fillStyle = getComputedStyle(canvas).getPropertyValue('--accent')
      const most = Math.max(1, ...seconds.flatMap((second) => second.map(([, times]) => times)))
      seconds.forEach((second, at) => {
        for (const [end, times] of second) {
          const row = Math.min(rows - 1, Math.max(0, Math.floor(Math.log10(end / LOWEST_MS) * STEPS)))
          context.globalAlpha = 0.18 + 0.82 * Math.sqrt(times / most)
          context.fillRect(columns - seconds.length + at, rows - 1 - row, 1, 1)
        }
      })
    },
  }
}
