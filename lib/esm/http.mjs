// `import … from 'keepwire/http'`: the names of node:http, those that are ours in place of the runtime's.

import http from '../http.js'

export * from 'node:http'
export const { Agent, ClientRequest, get, globalAgent, request } = http
export default http
