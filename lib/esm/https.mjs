// `import … from 'keepwire/https'`: the names of node:https, those that are ours in place of the runtime's.

import https from '../https.js'

export * from 'node:https'
export const { Agent, get, globalAgent, request } = https
export default https
