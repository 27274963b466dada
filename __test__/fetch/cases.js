'use strict'

// The web platform's fetch tests as far as they apply on a server: each case gets a fetch and a server, and throws if the
// fetch does not do as the standard says. They run against ours as tests, and against the runtime's own for comparison.

const assert = require('node:assert')

const { LARGE, TEXT } = require('../support/fetch-server')

const { deepStrictEqual: same, strictEqual: equal, ok, rejects } = assert

const cases = []
/** @param {string} room @param {Record<string, (fetch: Function, server: any) => Promise<unknown>>} of */
function room(room, of) {
  for (const [name, run] of Object.entries(of)) cases.push({ room, name, run })
}

const echo = async (fetch, server, init, path = '/echo') => (await fetch(server.url(path), init)).json()
const network = (promise) => rejects(promise, TypeError)
const aborted = (promise) => rejects(promise, { name: 'AbortError' })
const streamOf = (...chunks) =>
  new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift()
      if (chunk === undefined) controller.close()
      else controller.enqueue(Buffer.from(chunk))
    },
  })

room('requests', {
  'GET is the default': async (fetch, s) => equal((await echo(fetch, s)).method, 'GET'),
  'a URL object': async (fetch, s) => equal(await (await fetch(new URL(s.url('/text')))).text(), 'hello'),
  'a Request': async (fetch, s) =>
    equal((await (await fetch(new Request(s.url('/echo'), { method: 'PUT', body: 'x' }))).json()).method, 'PUT'),
  'init overrides a Request': async (fetch, s) => {
    const request = new Request(s.url('/echo'), { headers: { 'x-a': '1' }, method: 'POST', body: 'from request' })
    const seen = await (await fetch(request, { body: 'from init', headers: { 'x-b': '2' } })).json()
    same([seen.method, seen.body, seen.headers['x-a'], seen.headers['x-b']], ['POST', 'from init', undefined, '2'])
  },
  'known methods are upper-cased': async (fetch, s) => equal((await echo(fetch, s, { method: 'post' })).method, 'POST'),
  'other methods keep their case': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'PROPFIND' })).method, 'PROPFIND'),
  'forbidden methods reject': (fetch, s) => network(fetch(s.url('/text'), { method: 'TRACE' })),
  'invalid methods reject': (fetch, s) => network(fetch(s.url('/text'), { method: 'G ET' })),
  'the query is sent, the fragment is not': async (fetch, s) =>
    equal((await echo(fetch, s, {}, '/echo?a=b%20c#x')).target, '/echo?a=b%20c'),
  'a path is normalized': async (fetch, s) => equal((await echo(fetch, s, {}, '/a/../echo')).target, '/echo'),
  'non-ASCII in a URL is encoded': async (fetch, s) =>
    equal((await echo(fetch, s, {}, '/echo?ü')).target, '/echo?%C3%BC'),
  'relative URLs reject': (fetch) => network(fetch('relative')),
  'URLs with credentials reject': (fetch, s) => network(fetch(s.url('/text').replace('//', '//user:secret@'))),
  'unknown schemes reject': (fetch) => network(fetch('gopher://127.0.0.1/')),
  'a body with GET rejects': (fetch, s) => network(fetch(s.url('/text'), { body: 'x' })),
  'a body with HEAD rejects': (fetch, s) => network(fetch(s.url('/text'), { method: 'HEAD', body: 'x' })),
  'an invalid redirect mode rejects': (fetch, s) => network(fetch(s.url('/text'), { redirect: 'maybe' })),
  'keepalive, credentials and referrer are accepted': async (fetch, s) =>
    equal(
      (await fetch(s.url('/text'), { keepalive: true, credentials: 'include', referrerPolicy: 'no-referrer' })).status,
      200,
    ),
  'data: URLs': async (fetch) => equal(await (await fetch('data:text/plain,hi%20there')).text(), 'hi there'),
  'blob: URLs': async (fetch) => {
    const url = URL.createObjectURL(new Blob(['from a blob']))
    equal(await (await fetch(url)).text(), 'from a blob')
  },
})

room('request headers', {
  'from an object': async (fetch, s) => equal((await echo(fetch, s, { headers: { 'X-A': 'b' } })).headers['x-a'], 'b'),
  'from Headers': async (fetch, s) =>
    equal((await echo(fetch, s, { headers: new Headers({ 'X-A': 'b' }) })).headers['x-a'], 'b'),
  'from pairs, those of one name combined': async (fetch, s) =>
    equal(
      (
        await echo(fetch, s, {
          headers: [
            ['x-a', '1'],
            ['X-A', '2'],
          ],
        })
      ).headers['x-a'],
      '1, 2',
    ),
  'values are trimmed': async (fetch, s) =>
    equal((await echo(fetch, s, { headers: { 'x-a': ' \tb ' } })).headers['x-a'], 'b'),
  'numbers become strings': async (fetch, s) =>
    equal((await echo(fetch, s, { headers: { 'x-a': 7 } })).headers['x-a'], '7'),
  'latin1 values': async (fetch, s) =>
    equal((await echo(fetch, s, { headers: { 'x-a': 'caf\xe9' } })).headers['x-a'], 'caf\xe9'),
  'values beyond latin1 reject': (fetch, s) => network(fetch(s.url('/text'), { headers: { 'x-a': '€' } })),
  'line breaks in values reject': (fetch, s) => network(fetch(s.url('/text'), { headers: { 'x-a': 'a\r\nb: c' } })),
  'invalid names reject': (fetch, s) => network(fetch(s.url('/text'), { headers: { 'a b': 'c' } })),
  'accept is anything by default': async (fetch, s) => equal((await echo(fetch, s)).headers.accept, '*/*'),
  "the user's accept is kept": async (fetch, s) =>
    equal((await echo(fetch, s, { headers: { Accept: 'text/html' } })).headers.accept, 'text/html'),
  'codings are offered': async (fetch, s) => ok((await echo(fetch, s)).headers['accept-encoding'].includes('gzip')),
  "the user's user-agent is kept": async (fetch, s) =>
    equal((await echo(fetch, s, { headers: { 'User-Agent': 'me' } })).headers['user-agent'], 'me'),
  'host is the origin': async (fetch, s) => equal((await echo(fetch, s)).headers.host, new URL(s.origin).host),
})

room('request bodies', {
  'a string': async (fetch, s) => {
    const seen = await echo(fetch, s, { method: 'POST', body: 'grüße' })
    equal(Buffer.from(seen.body, 'latin1').toString(), 'grüße')
    equal(seen.headers['content-length'], '7')
  },
  'a string says that it is text': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST', body: 'x' })).headers['content-type'], 'text/plain;charset=UTF-8'),
  'an empty string': async (fetch, s) => {
    const seen = await echo(fetch, s, { method: 'POST', body: '' })
    same([seen.body, seen.headers['content-length']], ['', '0'])
  },
  'POST without a body has length 0': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST' })).headers['content-length'], '0'),
  "the user's content-type is kept": async (fetch, s) =>
    equal(
      (await echo(fetch, s, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } })).headers[
        'content-type'
      ],
      'application/json',
    ),
  'a Buffer': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST', body: Buffer.from([0, 255, 10]) })).body, '\0\xff\n'),
  'bytes have no type': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST', body: Buffer.from('x') })).headers['content-type'], undefined),
  'an ArrayBuffer': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST', body: new Uint8Array([65, 66]).buffer })).body, 'AB'),
  'part of a typed array': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST', body: new Uint8Array([64, 65, 66]).subarray(1) })).body, 'AB'),
  'a DataView': async (fetch, s) =>
    equal((await echo(fetch, s, { method: 'POST', body: new DataView(new Uint8Array([67]).buffer) })).body, 'C'),
  'a Blob with its type': async (fetch, s) => {
    const seen = await echo(fetch, s, { method: 'POST', body: new Blob(['blob'], { type: 'x/y' }) })
    same([seen.body, seen.headers['content-type'], seen.headers['content-length']], ['blob', 'x/y', '4'])
  },
  URLSearchParams: async (fetch, s) => {
    const seen = await echo(fetch, s, { method: 'POST', body: new URLSearchParams({ a: '1 2' }) })
    same([seen.body, seen.headers['content-type']], ['a=1+2', 'application/x-www-form-urlencoded;charset=UTF-8'])
  },
  FormData: async (fetch, s) => {
    const form = new FormData()
    form.set('field', 'value')
    form.set('file', new Blob(['content']), 'name.txt')
    const seen = await echo(fetch, s, { method: 'POST', body: form })
    ok(/^multipart\/form-data; boundary=/.test(seen.headers['content-type']))
    ok(seen.body.includes('value') && seen.body.includes('filename="name.txt"') && seen.body.includes('content'))
  },
  'a stream': async (fetch, s) => {
    const seen = await echo(fetch, s, { method: 'POST', body: streamOf('one ', 'two'), duplex: 'half' })
    same([seen.body, seen.headers['transfer-encoding']], ['one two', 'chunked'])
  },
  'a stream without duplex rejects': (fetch, s) =>
    network(fetch(s.url('/echo'), { method: 'POST', body: streamOf('x') })),
  'an async iterable': async (fetch, s) => {
    async function* pieces() {
      yield Buffer.from('one ')
      yield Buffer.from('two')
    }
    equal((await echo(fetch, s, { method: 'POST', body: pieces(), duplex: 'half' })).body, 'one two')
  },
  'a stream that fails rejects': async (fetch, s) => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error('source')) })
    await rejects(fetch(s.url('/echo'), { method: 'POST', body, duplex: 'half' }))
  },
  'a stream of strings rejects': (fetch, s) => {
    const body = new ReadableStream({ start: (controller) => controller.enqueue('text') })
    return network(fetch(s.url('/echo'), { method: 'POST', body, duplex: 'half' }))
  },
  'a Request is used up': async (fetch, s) => {
    const request = new Request(s.url('/echo'), { method: 'POST', body: 'once' })
    await (await fetch(request)).text()
    equal(request.bodyUsed, true)
    await network(fetch(request))
  },
  '1 MB': async (fetch, s) => equal((await echo(fetch, s, { method: 'POST', body: LARGE })).body.length, LARGE.length),
})

room('responses', {
  'is an instance of Response': async (fetch, s) => {
    const response = await fetch(s.url('/text'))
    ok(response instanceof Response)
    equal(Object.prototype.toString.call(response), '[object Response]')
    equal(response.constructor, Response)
  },
  'status, ok and statusText': async (fetch, s) => {
    const response = await fetch(s.url('/reason'))
    same([response.status, response.ok, response.statusText], [200, true, 'Very Fine'])
  },
  'an empty reason': async (fetch, s) => equal((await fetch(s.url('/noreason'))).statusText, ''),
  'an error status is no rejection': async (fetch, s) => {
    const response = await fetch(s.url('/status/500'))
    same([response.status, response.ok, await response.text()], [500, false, 'body'])
  },
  'an unusual status': async (fetch, s) => equal((await fetch(s.url('/status/799'))).status, 799),
  'url and redirected': async (fetch, s) => {
    const response = await fetch(s.url('/text?a#b'))
    same([response.url, response.redirected], [s.url('/text?a'), false])
  },
  'null-body statuses have no body': async (fetch, s) => {
    for (const status of [204, 205, 304]) {
      const response = await fetch(s.url(`/status/${status}`))
      same([response.status, response.body, await response.text(), response.bodyUsed], [status, null, '', false])
    }
  },
  'HEAD has no body': async (fetch, s) => {
    const response = await fetch(s.url('/empty'), { method: 'HEAD' })
    same([response.status, response.body, await response.text()], [200, null, ''])
  },
  'an informational response is skipped': async (fetch, s) =>
    equal(await (await fetch(s.url('/informational'))).text(), 'final'),
  'a response can be given to new Response': async (fetch, s) => {
    const response = await fetch(s.url('/text'))
    const copy = new Response(response.body, response)
    same([await copy.text(), copy.status, copy.headers.get('content-type')], ['hello', 200, 'text/plain'])
  },
})

room('response headers', {
  'names are case-insensitive': async (fetch, s) =>
    equal((await fetch(s.url('/headers'))).headers.get('X-MANY'), 'one, two'),
  'empty and trimmed values': async (fetch, s) => {
    const { headers } = await fetch(s.url('/headers'))
    same([headers.get('x-empty'), headers.get('x-space'), headers.get('x-none')], ['', 'around', null])
  },
  'latin1 values': async (fetch, s) => equal((await fetch(s.url('/headers'))).headers.get('x-latin'), 'caf\xe9'),
  getSetCookie: async (fetch, s) =>
    same((await fetch(s.url('/cookies'))).headers.getSetCookie(), ['a=1; Path=/', 'b=2']),
  'are sorted and lower-case when iterated': async (fetch, s) => {
    const names = [...(await fetch(s.url('/headers'))).headers.keys()]
    same(names, [...names].sort())
    ok(names.includes('x-many'))
  },
  'are immutable': async (fetch, s) => {
    const { headers } = await fetch(s.url('/headers'))
    assert.throws(() => headers.set('a', 'b'), TypeError)
    assert.throws(() => headers.append('a', 'b'), TypeError)
    assert.throws(() => headers.delete('x-many'), TypeError)
  },
})

room('response bodies', {
  'text()': async (fetch, s) => equal(await (await fetch(s.url('/text'))).text(), 'hello'),
  'text() without byte order mark': async (fetch, s) => equal(await (await fetch(s.url('/bom'))).text(), 'grüße'),
  'text() of invalid UTF-8': async (fetch, s) =>
    equal(await (await fetch(s.url('/invalidutf8'))).text(), 'a\ufffdb\ufffd'),
  'json()': async (fetch, s) => same(await (await fetch(s.url('/json'))).json(), { a: [1, 2] }),
  'json() of something else rejects': async (fetch, s) => rejects((await fetch(s.url('/badjson'))).json(), SyntaxError),
  'arrayBuffer()': async (fetch, s) => {
    const buffer = await (await fetch(s.url('/text'))).arrayBuffer()
    ok(buffer instanceof ArrayBuffer)
    equal(buffer.byteLength, 5)
  },
  'bytes()': async (fetch, s) =>
    same(await (await fetch(s.url('/text'))).bytes(), new Uint8Array(Buffer.from('hello'))),
  'blob() with its type': async (fetch, s) => {
    const blob = await (await fetch(s.url('/text'))).blob()
    same(
      [blob instanceof Blob, blob.size, blob.type.replace(/;.*/, ''), await blob.text()],
      [true, 5, 'text/plain', 'hello'],
    )
  },
  'formData() of multipart': async (fetch, s) =>
    equal((await (await fetch(s.url('/multipart'))).formData()).get('a'), 'one'),
  'formData() of a query': async (fetch, s) =>
    equal((await (await fetch(s.url('/urlencoded'))).formData()).get('b'), 'two words'),
  'formData() of something else rejects': async (fetch, s) => network((await fetch(s.url('/text'))).formData()),
  'an empty body': async (fetch, s) => {
    const response = await fetch(s.url('/empty'))
    same([await response.text(), response.bodyUsed], ['', true])
  },
  chunked: async (fetch, s) => equal(await (await fetch(s.url('/chunked'))).text(), 'hello'),
  'chunked with trailers': async (fetch, s) => equal(await (await fetch(s.url('/trailers'))).text(), 'hello'),
  'until the connection closes': async (fetch, s) =>
    equal(await (await fetch(s.url('/close'))).text(), 'until the end'),
  'head and body in separate packets': async (fetch, s) => equal(await (await fetch(s.url('/split'))).text(), 'hello'),
  '1 MB': async (fetch, s) => ok(Buffer.from(await (await fetch(s.url('/large'))).arrayBuffer()).equals(LARGE)),
  'is used once': async (fetch, s) => {
    const response = await fetch(s.url('/text'))
    equal(response.bodyUsed, false)
    await response.text()
    equal(response.bodyUsed, true)
    await network(response.text())
    await network(response.json())
    await network(response.arrayBuffer())
    assert.throws(() => response.clone(), TypeError)
  },
  'body is a stream of bytes': async (fetch, s) => {
    const { body } = await fetch(s.url('/split'))
    ok(body instanceof ReadableStream)
    const read = []
    for (const reader = body.getReader(); ; ) {
      const { done, value } = await reader.read()
      if (done) break
      ok(value instanceof Uint8Array)
      read.push(value)
    }
    equal(Buffer.concat(read).toString(), 'hello')
  },
  'body can be iterated': async (fetch, s) => {
    let read = ''
    for await (const chunk of (await fetch(s.url('/large'))).body) read += Buffer.from(chunk).toString('latin1')
    equal(read.length, LARGE.length)
  },
  'body can be read into a buffer of the caller': async (fetch, s) => {
    const reader = (await fetch(s.url('/text'))).body.getReader({ mode: 'byob' })
    const { value } = await reader.read(new Uint8Array(3))
    equal(Buffer.from(value).toString(), 'hel')
    await reader.cancel()
  },
  'body is the same object each time': async (fetch, s) => {
    const response = await fetch(s.url('/text'))
    equal(response.body, response.body)
    await response.text()
  },
  'a locked body cannot be read otherwise': async (fetch, s) => {
    const response = await fetch(s.url('/text'))
    response.body.getReader()
    await network(response.text())
  },
  'text() after body was touched': async (fetch, s) => {
    const response = await fetch(s.url('/split'))
    ok(response.body)
    equal(await response.text(), 'hello')
  },
  'body can be cancelled': async (fetch, s) => {
    const response = await fetch(s.url('/begun'))
    await response.body.cancel()
    equal(response.bodyUsed, true)
  },
  'clone() gives both the body': async (fetch, s) => {
    for (const path of ['/text', '/split']) {
      const response = await fetch(s.url(path))
      const copy = response.clone()
      ok(copy instanceof Response)
      same([copy.url, copy.status, copy.redirected], [response.url, 200, false])
      same(await Promise.all([response.text(), copy.text()]), ['hello', 'hello'])
    }
  },
  pipeThrough: async (fetch, s) => {
    const response = await fetch(s.url('/text'))
    equal(
      await new Response(
        response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream()),
      ).text(),
      'hello',
    )
  },
})

room('decoding', {
  gzip: async (fetch, s) => equal(await (await fetch(s.url('/encoded/gzip'))).text(), TEXT),
  'x-gzip': async (fetch, s) => equal(await (await fetch(s.url('/encoded/x-gzip'))).text(), TEXT),
  deflate: async (fetch, s) => equal(await (await fetch(s.url('/encoded/deflate'))).text(), TEXT),
  'deflate without its header': async (fetch, s) => equal(await (await fetch(s.url('/rawdeflate'))).text(), TEXT),
  br: async (fetch, s) => equal(await (await fetch(s.url('/encoded/br'))).text(), TEXT),
  'gzip, then br': async (fetch, s) => equal(await (await fetch(s.url('/encoded/gzip,%20br'))).text(), TEXT),
  'gzip in chunks': async (fetch, s) => equal(await (await fetch(s.url('/chunkedgzip'))).text(), TEXT),
  'the header still says it': async (fetch, s) =>
    equal((await fetch(s.url('/encoded/gzip'))).headers.get('content-encoding'), 'gzip'),
  'unknown codings are left alone': async (fetch, s) =>
    equal(await (await fetch(s.url('/unknownencoding'))).text(), 'as it is'),
  'content that is no gzip rejects': async (fetch, s) =>
    rejects(fetch(s.url('/badgzip')).then((response) => response.text())),
  'no content at all': async (fetch, s) => equal(await (await fetch(s.url('/emptygzip'))).text(), ''),
  'HEAD of something encoded': async (fetch, s) =>
    equal((await fetch(s.url('/emptygzip'), { method: 'HEAD' })).status, 200),
})

const redirectTo = (s, status, to) => s.url(`/redirect/${status}?to=${encodeURIComponent(to)}`)
room('redirects', {
  'are followed': async (fetch, s) => {
    for (const status of [301, 302, 303, 307, 308]) {
      const response = await fetch(redirectTo(s, status, '/text'))
      same(
        [response.status, response.url, response.redirected, await response.text()],
        [200, s.url('/text'), true, 'hello'],
      )
    }
  },
  'POST becomes GET at 301, 302 and 303': async (fetch, s) => {
    for (const status of [301, 302, 303]) {
      const seen = await (await fetch(redirectTo(s, status, '/echo'), { method: 'POST', body: 'x' })).json()
      same(
        [seen.method, seen.body, seen.headers['content-type'], seen.headers['content-length']],
        ['GET', '', undefined, undefined],
      )
    }
  },
  'POST stays POST at 307 and 308': async (fetch, s) => {
    for (const status of [307, 308]) {
      const seen = await (await fetch(redirectTo(s, status, '/echo'), { method: 'POST', body: 'again' })).json()
      same([seen.method, seen.body], ['POST', 'again'])
    }
  },
  'PUT stays PUT at 301 and 302': async (fetch, s) => {
    for (const status of [301, 302]) {
      const seen = await (await fetch(redirectTo(s, status, '/echo'), { method: 'PUT', body: 'again' })).json()
      same([seen.method, seen.body], ['PUT', 'again'])
    }
  },
  'PUT becomes GET at 303': async (fetch, s) =>
    equal((await (await fetch(redirectTo(s, 303, '/echo'), { method: 'PUT', body: 'x' })).json()).method, 'GET'),
  'HEAD stays HEAD at 303': async (fetch, s) =>
    equal((await fetch(redirectTo(s, 303, '/empty'), { method: 'HEAD' })).status, 200),
  'relative to the URL that redirects': async (fetch, s) =>
    equal((await fetch(redirectTo(s, 302, '../text'))).url, s.url('/text')),
  'to another origin, without credentials': async (fetch, s) => {
    const response = await fetch(redirectTo(s, 302, s.otherUrl('/echo')), {
      headers: { Authorization: 'secret', Cookie: 'a=b', 'X-A': 'kept' },
    })
    const { headers } = await response.json()
    same([headers.authorization, headers.cookie, headers['x-a']], [undefined, undefined, 'kept'])
    equal(headers.host, new URL(s.otherOrigin).host)
  },
  'within an origin, with credentials': async (fetch, s) => {
    const response = await fetch(redirectTo(s, 302, '/echo'), { headers: { Authorization: 'secret' } })
    equal((await response.json()).headers.authorization, 'secret')
  },
  'the fragment is not shown': async (fetch, s) =>
    equal((await fetch(redirectTo(s, 302, '/text#there'))).url, s.url('/text')),
  '20 are followed': async (fetch, s) => equal(await (await fetch(s.url('/chain/20'))).text(), 'end'),
  '21 reject': (fetch, s) => network(fetch(s.url('/chain/21'))),
  'redirect: error rejects': (fetch, s) => network(fetch(redirectTo(s, 302, '/text'), { redirect: 'error' })),
  'redirect: manual is the response': async (fetch, s) => {
    const response = await fetch(redirectTo(s, 302, '/text'), { redirect: 'manual' })
    same([response.status, response.headers.get('location'), response.redirected], [302, '/text', false])
    await response.text()
  },
  'without Location it is the response': async (fetch, s) => {
    const response = await fetch(s.url('/nolocation/302'))
    same([response.status, await response.text()], [302, 'nowhere'])
  },
  'to an invalid URL rejects': (fetch, s) => network(fetch(redirectTo(s, 302, 'http://'))),
  'to another scheme rejects': (fetch, s) => network(fetch(redirectTo(s, 302, 'ftp://127.0.0.1/'))),
  'to data: rejects': (fetch, s) => network(fetch(redirectTo(s, 302, 'data:,x'))),
  'a stream cannot be sent again': (fetch, s) =>
    network(fetch(redirectTo(s, 307, '/echo'), { method: 'POST', body: streamOf('x'), duplex: 'half' })),
  'a stream is not needed at 303': async (fetch, s) => {
    const response = await fetch(redirectTo(s, 303, '/echo'), { method: 'POST', body: streamOf('x'), duplex: 'half' })
    equal((await response.json()).method, 'GET')
  },
})

room('abort', {
  'before the fetch': (fetch, s) => aborted(fetch(s.url('/text'), { signal: AbortSignal.abort() })),
  'with a reason': (fetch, s) => {
    const reason = new Error('because')
    return rejects(fetch(s.url('/text'), { signal: AbortSignal.abort(reason) }), reason)
  },
  'nothing is sent': async (fetch, s) => {
    await aborted(fetch(s.url('/echo?never'), { signal: AbortSignal.abort() }))
    equal((await echo(fetch, s)).method, 'GET')
    ok(!s.peer.requests.some(({ target }) => target === '/echo?never'))
  },
  'while the response is awaited': async (fetch, s) => {
    const controller = new AbortController()
    const response = fetch(s.url('/hang?1'), { signal: controller.signal })
    const { connection } = await s.seen('/hang?1')
    controller.abort()
    await aborted(response)
    await connection.closed.promise
  },
  'while the body is read': async (fetch, s) => {
    const controller = new AbortController()
    const response = await fetch(s.url('/begun?1'), { signal: controller.signal })
    const { connection } = await s.seen('/begun?1')
    const text = response.text()
    controller.abort()
    await aborted(text)
    await connection.closed.promise
  },
  'while the stream is read': async (fetch, s) => {
    const controller = new AbortController()
    const response = await fetch(s.url('/begun?2'), { signal: controller.signal })
    const reader = response.body.getReader()
    equal(Buffer.from((await reader.read()).value).toString(), 'hello')
    const rest = reader.read()
    controller.abort()
    await aborted(rest)
  },
  'before the body is read': async (fetch, s) => {
    const controller = new AbortController()
    const response = await fetch(s.url('/begun?3'), { signal: controller.signal })
    controller.abort()
    await aborted(response.text())
  },
  'after the body was read': async (fetch, s) => {
    const controller = new AbortController()
    const response = await fetch(s.url('/text'), { signal: controller.signal })
    equal(await response.text(), 'hello')
    controller.abort()
    equal(response.status, 200)
  },
  'by the signal of a Request': async (fetch, s) => {
    const controller = new AbortController()
    const response = fetch(new Request(s.url('/hang?2'), { signal: controller.signal }))
    await s.seen('/hang?2')
    controller.abort()
    await aborted(response)
  },
  'AbortSignal.timeout': (fetch, s) =>
    rejects(fetch(s.url('/hang?3'), { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' }),
  'the source of an upload is cancelled': async (fetch, s) => {
    const controller = new AbortController()
    let cancelled
    const gone = new Promise((resolve) => {
      cancelled = resolve
    })
    const body = new ReadableStream({ start: (source) => source.enqueue(Buffer.from('x')), cancel: cancelled })
    const response = fetch(s.url('/echo?upload'), { method: 'POST', body, duplex: 'half', signal: controller.signal })
    response.catch(() => {})
    setImmediate(() => controller.abort())
    await aborted(response)
    await gone
  },
  'the source of an upload is told why': async (fetch, s) => {
    for (const isEarly of [true, false]) {
      const controller = new AbortController()
      const reason = new Error('not needed')
      let tell
      const told = new Promise((resolve) => {
        tell = resolve
      })
      const body = new ReadableStream({ start: (source) => source.enqueue(Buffer.from('x')), cancel: tell })
      const response = fetch(s.url('/echo?why'), { method: 'POST', body, duplex: 'half', signal: controller.signal })
      response.catch(() => {})
      if (isEarly) controller.abort(reason)
      else setImmediate(() => controller.abort(reason))
      await rejects(response, (error) => error === reason)
      equal(await told, reason)
    }
  },
  'a signal that is none rejects': (fetch, s) => network(fetch(s.url('/text'), { signal: 'now' })),
})

room('failures', {
  'nobody listens': (fetch) => network(fetch('http://127.0.0.1:10/')),
  'a name that does not exist': (fetch) => network(fetch('http://nowhere.invalid/')),
  'the connection ends before the head': (fetch, s) => network(fetch(s.url('/drop'))),
  'the connection is reset before the head': (fetch, s) => network(fetch(s.url('/reset'))),
  'the connection ends within the body': async (fetch, s) => rejects((await fetch(s.url('/half'))).text()),
  'the connection ends within a chunked body': async (fetch, s) => rejects((await fetch(s.url('/halfchunk'))).text()),
  'the stream fails where the connection ends': async (fetch, s) => {
    const reader = (await fetch(s.url('/half'))).body.getReader()
    await rejects(async () => {
      while (!(await reader.read()).done);
    })
  },
  'a malformed header': (fetch, s) => network(fetch(s.url('/badheader'))),
  'a malformed status': (fetch, s) => network(fetch(s.url('/badstatus'))),
  'a malformed chunk': async (fetch, s) => rejects((await fetch(s.url('/badchunk'))).text()),
  'something other than HTTP': (fetch, s) => network(fetch(s.url('/nohttp'))),
  'port blocking': (fetch) => rejects(fetch('http://127.0.0.1:25/'), TypeError),
})

module.exports = { cases }
