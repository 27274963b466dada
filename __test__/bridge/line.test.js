'use strict'

const assert = require('node:assert')
const { test } = require('node:test')

const { Line } = require('../../lib/common/line')
const { random } = require('../support/client')

test('values stay in the order in which they came, whoever leaves', () => {
  const next = random(5)
  const line = new Line()
  const expected = []
  for (let i = 0; i < 2_000; i += 1) {
    if (next() < 0.55) expected.push({ value: i, place: line.add(i) })
    else if (expected.length > 0) {
      const [{ place }] = expected.splice(Math.floor(next() * expected.length), 1)
      assert.strictEqual(line.remove(place), true)
      assert.strictEqual(line.remove(place), false, 'twice')
    }
    assert.strictEqual(line.size, expected.length)
    assert.strictEqual(line.first, expected[0]?.value)
  }
  assert.deepStrictEqual(
    [...line],
    expected.map(({ value }) => value),
  )
  assert.strictEqual(line.remove(undefined), false)
})

test('what has left refers to nothing, so that it keeps nothing alive that comes after it', () => {
  const line = new Line()
  const places = [1, 2, 3].map((value) => line.add(value))
  for (const place of places) line.remove(place)
  for (const { value, before, after } of places)
    assert.deepStrictEqual([value, before, after], [undefined, undefined, undefined])
})
