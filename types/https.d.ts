// The runtime's https module with keepwire's agents in place of its own.

import type { HttpsAgent } from './https-agent'

export * from 'node:https'
export { HttpsAgent as Agent, type HttpsAgentOptions as AgentOptions } from './https-agent'

/** keepwire's agent with the settings of the runtime's own `globalAgent`: `keepAlive`, `'lifo'`, 5 seconds. */
export const globalAgent: HttpsAgent
