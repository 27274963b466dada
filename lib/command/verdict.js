'use strict'

// What a check has come to: whether connections are reused, why not, and what to set.

/** @typedef {import('./check.js').Answer} Answer */
/** @typedef {import('./check.js').Failed} Failed */
/** @typedef {import('./check.js').Hint} Hint */
/** @typedef {import('./idle.js').Idle} Idle */

const GOOD = 0
const NOT_REUSED = 1
const UNREACHABLE = 2

/** What agents take off a server's hint, in ms. */
const BUFFER_MS = 1000

/** Of how long a server lets connections be idle, what an agent had better use. */
const SAFE_SHARE = 0.8

/** Certificates that only another authority could vouch for. */
const UNKNOWN_AUTHORITY =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/

/**
 * @typedef {object} Seen
 * @property {string[]} addresses
 * @property {Answer[]} answers
 * @property {Failed[]} failures
 * @property {Hint | null} hint
 * @property {Idle | null} idle
 */
/**
 * @typedef {object} Verdict
 * @property {number} exitCode
 * @property {'reused' | 'not-reused' | 'unreachable'} verdict
 * @property {string} because in words
 * @property {string[]} advice what to set
 * @property {number} connections opened
 * @property {number} reused requests that got a connection which was there
 */

/** @param {Failed} failure */
function unreachable({ code, message }) {
  const advice = []
  if (UNKNOWN_AUTHORITY.test(code)) {
    advice.push("Nobody that your runtime trusts vouches for the server's certificate.")
    advice.push(
      'Give its authority to the agent, new HttpsAgent({ ca }), or to the process, NODE_EXTRA_CA_CERTS=ca.pem.',
    )
    advice.push(`For this check alone: --agent-options '{"rejectUnauthorized":false}'.`)
  } else if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    advice.push("The server's certificate is for other names: ask for one of these, or set the agent's servername.")
  } else if (code === 'CERT_HAS_EXPIRED') advice.push("The server's certificate has expired.")
  else if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') advice.push('There is no such name, or nobody to ask for it.')
  else if (code === 'ECONNREFUSED') advice.push('Nobody listens at that port.')
  return {
    exitCode: UNREACHABLE,
    verdict: /** @type {const} */ ('unreachable'),
    because: `the first request failed: ${code}: ${message}`,
    advice,
    connections: 0,
    reused: 0,
  }
}

/** @param {Answer} answer */
function saysClose({ connection, httpVersion }) {
  const options = (connection ?? '').toLowerCase()
  return /\bclose\b/.test(options) || (httpVersion === '1.0' && !/\bkeep-alive\b/.test(options))
}

/**
 * Why connections were not reused, the most frequent reason first.
 * @param {Answer[]} answers those that had a connection of their own
 */
function commonReason(answers) {
  /** @type {Map<string, number>} */
  const counts = new Map()
  for (const { reason } of answers) counts.set(String(reason), (counts.get(String(reason)) ?? 0) + 1)
  const [first] = [...counts].sort(([, one], [, other]) => other - one)
  return first?.[0]
}

/**
 * @param {Answer[]} answers
 * @param {Hint | null} hint
 */
function whyNot(answers, hint) {
  if (answers.filter(saysClose).length * 2 > answers.length) {
    return {
      because: 'the server announces the end of each connection with its response (Connection: close)',
      advice: ["No client can reuse them: keep-alive is the server's to turn on, or that of a proxy before it."],
    }
  }
  if (hint !== null && hint.timeoutMs !== null && hint.timeoutMs <= BUFFER_MS) {
    return {
      because: `the server closes idle connections after ${hint.timeoutMs / 1000} s, and agents take 1 s off to be safe`,
      advice: [
        'Have the server keep connections for longer; 60 s is usual.',
        'If requests follow each other fast: new Agent({ keepAlive: true, agentKeepAliveTimeoutBuffer: 200 }).',
      ],
    }
  }
  if (hint !== null && hint.max !== null && hint.max <= 1) {
    return {
      because: 'the server allows no second request on a connection (max)',
      advice: ['Raise its limit of requests a connection.'],
    }
  }
  const reason = commonReason(answers.slice(1).filter(({ reused }) => !reused))
  if (reason === 'closed-by-peer' || reason === 'reset-by-peer') {
    return {
      because: 'the server closes connections after its response without saying so',
      advice: [
        'Turn keep-alive on at the server, or have it say Connection: close.',
        "The runtime's own agents may fail on such servers with ECONNRESET; keepwire's do not, and need no option for it.",
      ],
    }
  }
  if (reason === 'keep-alive-off') {
    return { because: 'the agent keeps no idle connections', advice: ['new Agent({ keepAlive: true })'] }
  }
  return { because: `connections ended: ${reason}`, advice: ['docs/observability.md says what the reason means.'] }
}

/** @param {number} ms */
const seconds = (ms) => `${Number((ms / 1000).toFixed(1))} s`

/**
 * What to set so that no connection is used that the server is about to close.
 * @param {Hint | null} hint
 * @param {Idle | null} idle
 */
function advise(hint, idle) {
  const said = hint?.timeoutMs ?? null
  const isClosed = idle !== null && (idle.how === 'closed' || idle.how === 'reset' || idle.how === 'said')
  const advice = []
  if (isClosed && (said === null || idle.afterMs < said - BUFFER_MS)) {
    const safe = Math.max(1, Math.floor((idle.afterMs * SAFE_SHARE) / 100) * 100)
    if (said !== null)
      advice.push(`The server closes idle connections earlier than it says: after ${seconds(idle.afterMs)}.`)
    advice.push(`keepwire: new Agent({ keepAlive: true, freeSocketTimeout: ${safe} })`)
    advice.push(`the runtime's own: new Agent({ keepAlive: true, timeout: ${safe} })`)
  } else if (said !== null) {
    advice.push('keepwire: new Agent({ keepAlive: true }) heeds the hint.')
    advice.push(`the runtime's own: new Agent({ keepAlive: true, timeout: ${said - BUFFER_MS} })`)
  } else {
    advice.push('keepwire: new Agent({ keepAlive: true })')
    if (idle === null) advice.push('The server does not say how long connections may be idle: --idle finds out.')
  }
  return advice
}

/**
 * @param {Seen} seen
 * @returns {Verdict}
 */
function judge({ answers, failures, hint, idle }) {
  if (answers.length === 0) return unreachable(failures[0])
  const reused = answers.filter((answer) => answer.reused).length
  const connections = answers.length - reused
  const later = answers.length - 1
  const counts = { connections, reused }
  if (failures.length > 0) {
    const [{ code }] = failures
    const because = `${failures.length} of ${answers.length + failures.length} requests failed, such as with ${code}`
    return { exitCode: NOT_REUSED, verdict: 'not-reused', because, advice: [], ...counts }
  }
  if (reused * 2 < later) return { exitCode: NOT_REUSED, verdict: 'not-reused', ...whyNot(answers, hint), ...counts }
  const because = `${reused} of ${later} later requests got a connection that was there already`
  return { exitCode: GOOD, verdict: 'reused', because, advice: advise(hint, idle), ...counts }
}

module.exports = { BUFFER_MS, judge, seconds }
