'use strict'

// Who may look. The page shows where a process connects to: that is for its owner.

const { createHash, timingSafeEqual } = require('node:crypto')
const { isIP } = require('node:net')

const { invalidValue, notA } = require('../common/errors.js')

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {{ status: number, text: string, headers?: Record<string, string> }} Refusal */

const SHORTEST_TOKEN = 16
const COOKIE = 'keepwire_dashboard'
/** Proxies say so by one of these: what came through one did not come from this machine. */
const FORWARDED = /^(?:forwarded|x-forwarded-.+|x-real-ip|x-client-ip|true-client-ip|cf-connecting-ip|via)$/
/** What a browser says of requests of the page's own, and of the user's. */
const OWN_SITES = ['same-origin', 'none']

/** @param {string} host an address or a name */
function isLoopback(host) {
  return host === 'localhost' || host === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host)
}

/** @param {string} text */
const digest = (text) => createHash('sha256').update(text).digest()

/** What a Host header names, without its port; undefined: nothing. @param {string | undefined} header */
function nameOf(header = '') {
  const [, bracketed, plain] = /^(?:\[([\da-f:.]+)\]|([^:@/\s]+))(?::\d+)?$/i.exec(header) ?? []
  return (bracketed ?? plain)?.toLowerCase()
}

class Guard {
  /** @type {Buffer | null} */
  #token
  /** @type {Set<string>} */
  #hosts

  /** @param {{ token?: string, hosts?: string[] }} options */
  constructor({ hosts = [], token }) {
    if (token !== undefined && typeof token !== 'string') throw notA('string', 'token', token)
    if (token !== undefined && token.length < SHORTEST_TOKEN) {
      throw invalidValue('token', '*'.repeat(token.length), `must have at least ${SHORTEST_TOKEN} characters`)
    }
    if (!Array.isArray(hosts) || hosts.some((host) => typeof host !== 'string')) throw notA('string[]', 'hosts', hosts)
    this.#token = token === undefined ? null : digest(token)
    this.#hosts = new Set(hosts.map((host) => host.toLowerCase()))
  }

  /**
   * @param {IncomingMessage} request
   * @param {URL} url
   * @returns {Refusal | { cookie: string | null }} cookie: what the browser is to keep, since the URL had it
   */
  judge(request, url) {
    const { headers, method, socket } = request
    if (method !== 'GET' && method !== 'HEAD') {
      return { status: 405, text: 'This is only to look at.', headers: { Allow: 'GET, HEAD' } }
    }
    // A page elsewhere whose name was made to lead here has that name in its requests.
    const host = nameOf(headers.host)
    if (host === undefined || !(isLoopback(host) || isIP(host) !== 0 || this.#hosts.has(host))) {
      return { status: 421, text: "This host's name is not one of the dashboard's: see its option `hosts`." }
    }
    const { 'sec-fetch-mode': mode, 'sec-fetch-site': site } = headers
    // Another port of this machine is the same site, and may take up all viewers' places.
    if (site !== undefined && !OWN_SITES.includes(String(site)) && mode !== 'navigate') {
      return { status: 403, text: 'Other sites can not look.' }
    }
    if (this.#token === null) {
      const isHere =
        isLoopback(socket.remoteAddress ?? '') &&
        isLoopback(socket.localAddress ?? '') &&
        isLoopback(host) &&
        !Object.keys(headers).some((name) => FORWARDED.test(name))
      if (isHere) return { cookie: null }
      return { status: 403, text: 'Only for requests from this machine: others need a token, see its option `token`.' }
    }
    const [, bearer] = /^Bearer (.+)$/i.exec(headers.authorization ?? '') ?? []
    if (this.#isToken(bearer) || this.#isToken(cookieOf(headers.cookie))) return { cookie: null }
    const given = url.searchParams.get('token')
    if (given !== null && this.#isToken(given)) return { cookie: `${COOKIE}=${encodeURIComponent(given)}` }
    return {
      status: 401,
      text: 'A token is needed: ?token=…, or a header `Authorization: Bearer …`.',
      headers: { 'WWW-Authenticate': 'Bearer' },
    }
  }

  /** @param {string | undefined} text */
  #isToken(text) {
    return text !== undefined && this.#token !== null && timingSafeEqual(digest(text), this.#token)
  }
}

/** @param {string | undefined} header */
function cookieOf(header = '') {
  const pair = header.split(/;\s*/).find((text) => text.startsWith(`${COOKIE}=`))
  try {
    return pair && decodeURIComponent(pair.slice(COOKIE.length + 1))
  } catch {
    return undefined
  }
}

module.exports = { Guard, isLoopback }
