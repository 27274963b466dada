'use strict'

// The folders of examples/ run as their READMEs say, against local servers.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')

const { homeOf, isFetched, programNamed } = require('../../scripts/programs')
const { baseline, commandFor, isBun, isDeno, isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

const root = path.join(__dirname, '..', '..')
const folder = path.join(root, 'examples')
const DEADLINE_MS = 60_000

/** @param {import('node:http').RequestListener} answer */
async function serve(scope, answer) {
  const asked = []
  const server = http.createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (piece) => (text += piece))
    request.on('end', () => {
      const { headers, method, url } = request
      const told = { method, url, headers, text }
      asked.push(told)
      answer(told, response)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => server.close(resolve).closeAllConnections?.()))
  return { asked, port: server.address().port, url: `http://127.0.0.1:${server.address().port}/` }
}

/**
 * Starts an example; `line(pattern)` waits for what it prints.
 * @param {{ env?: object, args?: string[], program?: string }} [options] `program`: whose packages it is given
 */
function start(scope, file, { env = {}, args = [], program } = {}) {
  if (program !== undefined && !isFetched(programNamed(program)))
    throw new Error(`${program} is missing: npm run programs`)
  const packages = program === undefined ? {} : { NODE_PATH: path.join(homeOf(program), 'node_modules') }
  const command = commandFor(path.join(folder, file), args)
  const child = spawn(command.file, command.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...packages, ...env },
  })
  const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  let stdout = ''
  let stderr = ''
  const waiting = new Set()
  const look = () => {
    for (const { pattern, resolve } of waiting) if (pattern.test(stdout)) resolve(pattern.exec(stdout))
  }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
    look()
  })
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
  const ended = new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(deadline)
      for (const { reject } of waiting) reject(new Error(`it ended: ${stdout}${stderr}`))
      resolve({ code: code ?? signal, stdout, stderr })
    })
  })
  scope.defer(() => child.kill('SIGKILL') && ended)
  const line = (pattern) =>
    new Promise((resolve, reject) => {
      waiting.add({ pattern, resolve, reject })
      look()
    })
  return { child, ended, line }
}

/** Its lines, when it has ended well. */
async function linesOf(scope, file, options) {
  const { code, stderr, stdout } = await start(scope, file, options).ended
  assert.strictEqual(code, 0, `${stdout}${stderr}`)
  return stdout.trim().split('\n')
}

const ours = baseline && 'it uses keepwire'
/** On the matrix the newest has them alone: they are about what examples say, and not about runtimes. */
const isFirst = process.env.KEEPWIRE_TEST_QUICK !== '1' || major >= 26
const needsNode = (least) => ours || (!(isNode && isFirst && major >= least) && `it is for Node ${least} and newer`)
const options = (skip) => ({ skip, timeout: 120_000 })

test('each folder has a README of about ten lines that says how to run it', () => {
  const names = fs.readdirSync(folder)
  for (const name of names) {
    const text = fs.readFileSync(path.join(folder, name, 'README.md'), 'utf8')
    assert.ok(text.startsWith(`# ${name}\n`), name)
    assert.ok(text.split('\n').length <= 13, name)
    const files = Array.from(text.matchAll(/\b[\w-]+\.(?:m?js|ts)\b/g), ([file]) => path.join(folder, name, file))
    assert.ok(
      files.some((file) => fs.existsSync(file)),
      name,
    )
  }
  assert.ok(names.length >= 11)
})

test('api-client: typed errors, a retry, and one connection', options(needsNode(18)), async (scope) => {
  let calls = 0
  const { asked, url } = await serve(scope, ({ method, url }, response) => {
    calls += 1
    if (url === '/users/404') return response.writeHead(404).end('no such user')
    if (method === 'GET' && calls === 2) return response.writeHead(503, { 'Retry-After': '0' }).end()
    response.setHeader('Content-Type', 'application/json').end('{"id":1,"name":"Ada"}')
  })
  const lines = await linesOf(scope, 'api-client/index.js', { env: { API_URL: url, API_TOKEN: 'secret' } })
  assert.deepStrictEqual(lines, ["created { id: 1, name: 'Ada' }", "user { id: 1, name: 'Ada' }", 'not found 404'])
  assert.deepStrictEqual(
    asked.map(({ method, url }) => `${method} ${url}`),
    ['POST /users', 'GET /users/1', 'GET /users/1', 'GET /users/404'],
  )
  assert.ok(asked.every(({ headers }) => headers.authorization === 'Bearer secret'))
})

test(
  'fetch-wrapper: one sign-in for three requests, and one more when the token has run out',
  options(needsNode(18)),
  async (scope) => {
    let signIns = 0
    let answers = 0
    const { url } = await serve(scope, ({ headers, url }, response) => {
      if (url === '/token') {
        signIns += 1
        return response.end(`token${signIns}`)
      }
      answers += 1
      // The first token runs out at once.
      if (headers.authorization !== 'Bearer token2') return response.writeHead(401).end()
      response.end(url.slice(-1))
    })
    const lines = await linesOf(scope, 'fetch-wrapper/index.js', { env: { API_URL: url } })
    assert.ok(lines.includes('items 1,2,3'), lines.join('\n'))
    assert.deepStrictEqual([signIns, answers], [2, 6])
  },
)

test('express-proxy: requests and bodies stream through', options(needsNode(18)), async (scope) => {
  const { asked, url } = await serve(scope, ({ method, text }, response) => {
    response.writeHead(201, { 'X-Upstream': 'yes', 'Keep-Alive': 'timeout=5' }).end(`${method} ${text}`)
  })
  const { child, ended, line } = start(scope, 'express-proxy/index.js', {
    env: { UPSTREAM: url, PORT: '0' },
    program: 'express',
  })
  const [, port] = await line(/listening (\d+)\n/)
  for (let i = 0; i < 3; i++) {
    const { body, status, headers } = await ask(port, 'POST', '/a?b=c', 'hello')
    assert.deepStrictEqual([status, body, headers['x-upstream']], [201, 'POST hello', 'yes'])
  }
  assert.strictEqual(asked[0].url, '/a?b=c')
  assert.strictEqual(asked[0].headers.via, '1.1 express-proxy')
  child.kill('SIGTERM')
  await ended
})

test('axios-and-got: both use the same connection', options(needsNode(22)), async (scope) => {
  const { url } = await serve(scope, (_, response) => response.end('ok'))
  const lines = await linesOf(scope, 'axios-and-got/index.mjs', { env: { URL: url } })
  assert.deepStrictEqual(lines, [...Array(3).fill(['axios 200', 'got 200']).flat(), 'connections 1 reused 5'])
})

test('aws-sdk: the SDK goes over the agent', options(needsNode(22)), async (scope) => {
  const { asked, url } = await serve(scope, (_, response) => {
    response.setHeader('Content-Type', 'application/x-amz-json-1.0').end('{"TableNames":["one","two"]}')
  })
  const env = { DYNAMODB_URL: url, AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'key' }
  const lines = await linesOf(scope, 'aws-sdk/index.js', { env })
  assert.deepStrictEqual(lines, [...Array(3).fill('tables one,two'), 'connections 1 reused 2'])
  assert.strictEqual(asked[0].headers['x-amz-target'], 'DynamoDB_20120810.ListTables')
})

test('openai-compatible-sse: words come as they are sent', options(needsNode(18)), async (scope) => {
  const { asked, url } = await serve(scope, async (_, response) => {
    response.setHeader('Content-Type', 'text/event-stream')
    const event = (content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`
    // Events need not come one by one, and characters of several bytes need not come whole.
    const bytes = Buffer.from(`: a comment\n\n${event('hé')}${event('llo')}data: [DONE]\n\n`)
    for (let at = 0; at < bytes.length; at += 7) {
      response.write(bytes.subarray(at, at + 7))
      await new Promise((resolve) => setImmediate(resolve))
    }
    response.end()
  })
  const env = { OPENAI_BASE_URL: `${url}v1/`, OPENAI_API_KEY: 'secret', MODEL: 'small' }
  assert.deepStrictEqual(await linesOf(scope, 'openai-compatible-sse/index.js', { env, args: ['Hi'] }), ['héllo'])
  assert.strictEqual(asked[0].url, '/v1/chat/completions')
  assert.deepStrictEqual(JSON.parse(asked[0].text), {
    model: 'small',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
  })
})

test(
  'prometheus-grafana: /metrics has the traffic; what the compose file names is there',
  options(needsNode(18)),
  async (scope) => {
    const { asked, url } = await serve(scope, (_, response) => response.end('ok'))
    const env = { UPSTREAM: url, PORT: '0', HOST: '127.0.0.1' }
    const { child, ended, line } = start(scope, 'prometheus-grafana/index.js', { env })
    const [, port] = await line(/listening (\d+)\n/)
    const seen = () => ask(port, 'GET', '/metrics')
    let told = await seen()
    // A connection is open before its server has read a request.
    while (asked.length === 0 || !told.body.includes('keepwire_connections_opened_total{')) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      told = await seen()
    }
    assert.match(told.headers['content-type'], /^text\/plain; version=0\.0\.4/)
    child.kill('SIGTERM')
    await ended
    const home = path.join(folder, 'prometheus-grafana')
    const compose = fs.readFileSync(path.join(home, 'compose.yaml'), 'utf8')
    const mounted = Array.from(compose.matchAll(/^ +- (\.[^:]+):/gm), ([, file]) => file)
    assert.strictEqual(mounted.length, 4)
    for (const file of mounted) assert.ok(fs.existsSync(path.join(home, file)), file)
  },
)

test('opentelemetry: metrics and spans reach a collector', options(needsNode(24)), async (scope) => {
  const { url } = await serve(scope, (_, response) => response.end('ok'))
  const collector = await serve(scope, (_, response) => {
    response.setHeader('Content-Type', 'application/json').end('{}')
  })
  const env = { URL: url, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
  assert.deepStrictEqual(await linesOf(scope, 'opentelemetry/index.js', { env, program: 'otel-context' }), ['sent'])
  const sent = (target) =>
    collector.asked
      .filter(({ url }) => url === target)
      .map(({ text }) => text)
      .join()
  assert.match(sent('/v1/metrics'), /"http\.client\.request\.duration"/)
  for (const name of ['five requests', 'keepwire.request.wait', 'keepwire.connection.setup']) {
    assert.ok(sent('/v1/traces').includes(`"${name}"`), name)
  }
})

test('worker-threads: what one thread leaves, the next one uses', options(needsNode(18)), async (scope) => {
  const { url } = await serve(scope, (_, response) => response.end('ok'))
  const lines = await linesOf(scope, 'worker-threads/index.js', { env: { URL: url } })
  assert.deepStrictEqual(lines, ['connections 1 reused 11'])
})

const MODERN = [...Array(3).fill(['http 200', 'fetch 200']).flat(), 'connections 1 reused 5']
for (const { name, file, skip } of [
  { name: 'bun', file: 'bun/index.ts', skip: ours || (!isBun && 'it is for Bun') },
  { name: 'deno', file: 'deno/main.ts', skip: ours || (!isDeno && 'it is for Deno') },
]) {
  test(`${name}: node:http and fetch on one connection`, options(skip), async (scope) => {
    const { url } = await serve(scope, (_, response) => response.end('ok'))
    assert.deepStrictEqual(await linesOf(scope, file, { env: { URL: url } }), MODERN)
  })
}

/** @returns {Promise<{ status: number, headers: object, body: string }>} */
function ask(port, method, target, text) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path: target, agent: false })
    request.once('error', reject).once('response', (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (piece) => (body += piece))
      response.once('end', () => resolve({ status: response.statusCode, headers: response.headers, body }))
    })
    request.end(text)
  })
}
