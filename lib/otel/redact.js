'use strict'

// A request's URL for a span: without what would let its reader do what the request did.

const REDACTED = 'REDACTED'

/** Fields of a query: those of the semantic conventions (url.full), and others that sign or authorize. In lower case. */
const SECRETS = new Set([
  'access_token',
  'awsaccesskeyid',
  'sig',
  'signature',
  'x-amz-credential',
  'x-amz-security-token',
  'x-amz-signature',
  'x-goog-credential',
  'x-goog-signature',
])

/** @param {string} field of a query, as it is sent */
function redactedField(field) {
  const at = field.indexOf('=')
  if (at < 0) return field
  const name = field.slice(0, at)
  return SECRETS.has(nameOf(name)) ? `${name}=${REDACTED}` : field
}

/** @param {string} name */
function nameOf(name) {
  try {
    return decodeURIComponent(name.replaceAll('+', ' ')).toLowerCase()
  } catch {
    return name.toLowerCase()
  }
}

/** @param {string} url */
function redacted(url) {
  const [, start, userinfo, rest] = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*@)?(.*)$/is.exec(url) ?? []
  if (start === undefined) return url
  const [before, ...after] = rest.split('?')
  const credentials = userinfo === undefined ? '' : userinfo.includes(':') ? `${REDACTED}:${REDACTED}@` : `${REDACTED}@`
  const [query, ...fragment] = after.join('?').split('#')
  const fields = query.split('&').map(redactedField).join('&')
  return start + credentials + before + (after.length === 0 ? '' : `?${[fields, ...fragment].join('#')}`)
}

/**
 * @param {any} request one of the runtime's, or of a fetch
 * @returns {string | undefined} undefined: it does not say
 */
function urlOf(request) {
  const { host, path, protocol, url } = request
  if (typeof url === 'string') return url
  if (typeof path !== 'string' || typeof protocol !== 'string') return undefined
  // In absolute form, as clients of proxies send it.
  if (/^https?:\/\//i.test(path)) return path
  const authority = request.getHeader?.('host') ?? host
  return authority === undefined ? undefined : `${protocol}//${authority}${path}`
}

module.exports = { redacted, urlOf }
