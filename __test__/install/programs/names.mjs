// Whose the names of node:http are, as an ES module sees them.

import def, { Agent, get, globalAgent, request } from 'node:http'
import { createRequire } from 'node:module'
// biome-ignore lint/style/useNodejsImportProtocol: that both spellings give the same is what is looked at
import * as bare from 'http'

const ours = createRequire(import.meta.url)('keepwire').http

console.log(
  JSON.stringify({
    Agent: Agent === ours.Agent,
    bareAgent: bare.Agent === ours.Agent,
    defaultAgent: def.Agent === ours.Agent,
    globalAgent: globalAgent === ours.globalAgent,
    defaultGlobalAgent: def.globalAgent === ours.globalAgent,
    request: request === ours.request,
    get: get === ours.get,
    defaultRequest: def.request === ours.request,
  }),
)
