'use strict'

const { fetch } = require('keepwire')

class ApiError extends Error {
  constructor({ status, excerpt, url, attempts }) {
    super(`${url} answered ${status} (attempts: ${attempts})`)
    this.status = status
    this.excerpt = excerpt
  }
}

class NotFound extends ApiError {}

class ApiClient {
  #fetch

  /** @param {{ baseUrl: string, token: string, agent?: object }} options */
  constructor({ baseUrl, token, agent }) {
    this.#fetch = fetch.withDefaults({
      baseUrl,
      agent,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
      timeout: 5_000,
      retry: { attempts: 3, backoff: 100, on: [429, 502, 503, 504] },
    })
  }

  user(id) {
    return this.#json(`users/${encodeURIComponent(id)}`)
  }

  createUser(fields) {
    const headers = { 'content-type': 'application/json' }
    return this.#json('users', { method: 'POST', headers, body: JSON.stringify(fields) })
  }

  async #json(path, options) {
    try {
      return await (await this.#fetch(path, options)).json()
    } catch (error) {
      if (error.code !== 'ERR_KEEPWIRE_HTTP_STATUS') throw error
      throw new (error.status === 404 ? NotFound : ApiError)(error)
    }
  }
}

module.exports = { ApiClient, ApiError, NotFound }
