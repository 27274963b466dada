'use strict'

// How the process's connections are, in one line that gives its reason.

const { grown, NOTHING } = require('./rows.js')
const { counted, errorInWords } = require('./words.js')

/** @typedef {import('./rows.js').Look} Look */
/** @typedef {{ level: 'good' | 'warning' | 'bad', text: string, origin?: string }} Health */

/** Of requests that end in a while: more failures than these are bad, fewer a warning. */
const BAD_SHARE = 0.1

/**
 * @param {Look} now
 * @param {Look} before
 */
function failures(now, before) {
  let worst
  for (const [origin, row] of now.rows) {
    const then = before.rows.get(origin) ?? NOTHING
    const failed = row.get('failed') - then.get('failed')
    if (failed <= (worst?.failed ?? 0)) continue
    worst = { origin, failed, answered: row.answered - then.answered, codes: grown(row.errors, then.errors) }
  }
  return worst
}

/** @param {Look[]} looks the last one last */
function stuck(looks) {
  const { rows } = looks[looks.length - 1]
  let longest
  for (const [origin, row] of rows) {
    const waiting = Math.min(...looks.map((look) => look.rows.get(origin)?.get('queued') ?? 0))
    if (waiting > (longest?.waiting ?? 0)) longest = { origin, row, waiting }
  }
  return longest
}

/**
 * @param {Look[]} looks of the last seconds, the last one last
 * @returns {Health}
 */
function healthOf(looks) {
  const now = looks[looks.length - 1]
  const before = looks[0]
  const seconds = Math.max(1, Math.round((now.at - before.at) / 1000))
  const answered = now.sums.answered - before.sums.answered
  const failed = failures(now, before)
  if (failed !== undefined) {
    const [[code]] = [...failed.codes, ['an error', 0]].sort(([, one], [, other]) => Number(other) - Number(one))
    const words = errorInWords(String(code))
    const all = failed.failed + failed.answered
    return {
      level: failed.failed > all * BAD_SHARE ? 'bad' : 'warning',
      text: `${failed.failed} of ${counted(all, 'request')} to ${failed.origin} failed in the last ${seconds} s with ${code}${words && `: ${words}`}.`,
      origin: failed.origin,
    }
  }
  const waiting = looks.length > 1 ? stuck(looks) : undefined
  if (waiting !== undefined) {
    const { origin, row } = waiting
    const inUse = row.get('leased') + row.get('dialing')
    const limit = row.get('limit')
    const why =
      limit > 0 && inUse >= limit ? `all ${limit} connections that the limits allow are in use` : `${inUse} are in use`
    const verb = row.get('queued') === 1 ? 'waits' : 'wait'
    return {
      level: 'warning',
      text: `${counted(row.get('queued'), 'request')} to ${origin} ${verb} for a connection: ${why}.`,
      origin,
    }
  }
  if (answered === 0) {
    const open = now.sums.get('idle') + now.sums.get('leased')
    const verb = open === 1 ? 'is' : 'are'
    return {
      level: 'good',
      text: `No request was answered in the last ${seconds} s; ${counted(open, 'connection')} ${verb} open.`,
    }
  }
  const [reused, created] = ['reused', 'created'].map((field) => now.sums.get(field) - before.sums.get(field))
  const perSecond = counted(Math.round(answered / seconds), 'request')
  const opened =
    created === 0
      ? 'no connection had to be opened'
      : `${counted(created, 'connection')} opened, ${counted(reused, 'request')} reused one`
  return { level: 'good', text: `All is well: ${perSecond} a second, none failed; ${opened}.` }
}

module.exports = { healthOf }
