'use strict'

// Reads Prometheus' text format 0.0.4 and OpenMetrics 1.0 as strictly as promtool does, and complains of what breaks their
// grammar or their conventions.

const assert = require('node:assert')

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/s
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y
const NUMBER = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|-Inf|NaN)$/
const UNITS = ['seconds', 'bytes']
const OTHER_UNITS = /_(ms|milliseconds|minutes|kilobytes|megabytes|percent)(_|$)/

/** @typedef {{ name: string, labels: Record<string, string>, value: number }} Sample */
/** @typedef {{ name: string, type: string, help: string, samples: Sample[] }} Family */

function unescaped(text) {
  return text.replace(/\\([\\"n])/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped))
}

function labelsOf(text, line) {
  const labels = {}
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text)
    assert.ok(match, `labels of ${line}`)
    const [, name, value] = match
    assert.ok(!Object.hasOwn(labels, name), `${name} twice in ${line}`)
    assert.doesNotMatch(name, /^__/)
    labels[name] = unescaped(value)
  }
  return labels
}

function sampleOf(line) {
  const match = SAMPLE.exec(line)
  assert.ok(match, `no sample: ${line}`)
  const [, name, labels = '', value] = match
  assert.match(value, NUMBER, line)
  return { name, labels: labelsOf(labels, line), value: value === '+Inf' ? Infinity : Number(value) }
}

/** What samples of a family may be called. */
function endings(type, format) {
  if (type === 'histogram') return ['_bucket', '_sum', '_count']
  return type === 'counter' && format === 'openmetrics' ? ['_total'] : ['']
}

/** @param {Family} family */
function checkFamily({ help, name, samples, type }, format) {
  assert.match(name, NAME)
  assert.ok(help !== undefined && help.length > 0, `no HELP for ${name}`)
  assert.ok(['counter', 'gauge', 'histogram'].includes(type), `${name} is a ${type}`)
  assert.doesNotMatch(name, OTHER_UNITS)
  const isTotal = name.endsWith('_total')
  assert.strictEqual(isTotal, type === 'counter' && format === 'text', `${name} is a ${type}`)
  assert.doesNotMatch(name, /_(bucket|sum|count|counter|gauge|histogram)$/)
  const seen = new Set()
  for (const sample of samples) {
    const ending = endings(type, format).find((ending) => sample.name === name + ending)
    assert.ok(ending !== undefined, `${sample.name} is none of ${name}`)
    const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
    assert.ok(!seen.has(key), `twice: ${key}`)
    seen.add(key)
    if (type !== 'gauge') assert.ok(sample.value >= 0 && sample.value < Infinity, key)
    if (sample.labels.le !== undefined) assert.strictEqual(ending, '_bucket')
  }
  if (type === 'histogram') checkHistogram(name, samples)
}

function checkHistogram(name, samples) {
  const series = new Map()
  for (const { labels, name: full, value } of samples) {
    const { le, ...rest } = labels
    const key = JSON.stringify(Object.entries(rest).sort())
    if (!series.has(key)) series.set(key, { buckets: [] })
    const one = series.get(key)
    if (full.endsWith('_bucket')) one.buckets.push([le === '+Inf' ? Infinity : Number(le), value])
    else one[full.slice(name.length + 1)] = value
  }
  for (const [key, { buckets, count, sum }] of series) {
    const where = `${name}${key}`
    assert.strictEqual(buckets.at(-1)?.[0], Infinity, where)
    assert.strictEqual(buckets.at(-1)[1], count, where)
    assert.ok(sum >= 0, where)
    for (const [at, [bound, value]] of buckets.entries()) {
      if (at === 0) continue
      assert.ok(bound > buckets[at - 1][0] && value >= buckets[at - 1][1], where)
    }
  }
}

/**
 * @param {string} text
 * @param {'text' | 'openmetrics'} [format]
 * @returns {Family[]}
 */
function parse(text, format = 'text') {
  assert.ok(text.endsWith('\n') && !text.includes('\r'))
  const lines = text.split('\n').slice(0, -1)
  if (format === 'openmetrics') assert.strictEqual(lines.pop(), '# EOF')
  const families = []
  const names = new Set()
  for (const line of lines) {
    if (line === '' && format === 'text') continue
    const [, word, name, rest] = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line) ?? []
    if (word === undefined) {
      assert.ok(!line.startsWith('#'), line)
      families.at(-1).samples.push(sampleOf(line))
      continue
    }
    if (families.at(-1)?.name !== name) {
      // All of a family stands together.
      assert.ok(!names.has(name), `${name} twice`)
      names.add(name)
      families.push({ name, samples: [] })
    }
    const family = families.at(-1)
    assert.strictEqual(family.samples.length, 0, `${word} of ${name} after its samples`)
    const field = word.toLowerCase()
    assert.strictEqual(family[field], undefined, `${word} of ${name} twice`)
    family[field] = unescaped(rest)
    if (word === 'UNIT') assert.ok(format === 'openmetrics' && UNITS.includes(rest) && name.endsWith(`_${rest}`))
  }
  for (const family of families) checkFamily(family, format)
  return families
}

module.exports = { parse }
