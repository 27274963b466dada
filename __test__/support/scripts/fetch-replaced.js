'use strict'

// Classes of the web that a program has replaced, after keepwire was loaded and before its first fetch. Arguments: the server's
// URL, and how they are replaced.

const { fetch } = require('../../..')

const own = globalThis.fetch
const undiciAtLoad = (process.moduleLoadList ?? []).some((name) => name.includes('undici'))

class Polyfill {
  constructor() {
    throw new Error('the polyfill was constructed')
  }
}

const WAYS = {
  nothing() {},
  assigned() {
    globalThis.Response = Polyfill
  },
  defined() {
    Object.defineProperty(globalThis, 'Response', { value: Polyfill })
  },
  extended() {
    globalThis.Response = class extends globalThis.Response {
      constructor(...args) {
        super(...args)
        throw new Error('the subclass was constructed')
      }
    }
  },
  'with Headers'() {
    globalThis.Response = Polyfill
    globalThis.Headers = Polyfill
  },
}

async function main([, , url, how]) {
  WAYS[how]()
  const put = globalThis.Response
  const first = await fetch(url)
  const body = await first.clone().text()
  const stream = await first.body.getReader().read()
  const second = await fetch(url)
  const answer = await own('data:,')
  const OwnResponse = answer.constructor
  const OwnHeaders = answer.headers.constructor
  return {
    undiciAtLoad,
    isLeftAlone: globalThis.Response === put,
    bodies: [body, Buffer.from(stream.value).toString(), await second.text()],
    isOwn: first instanceof OwnResponse && second instanceof OwnResponse,
    hasOwnHeaders: first.headers instanceof OwnHeaders,
    type: first.headers.get('content-type'),
  }
}

main(process.argv).then((told) => console.log(JSON.stringify(told)))
