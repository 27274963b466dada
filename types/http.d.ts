// The runtime's http module with keepwire's agents in place of its own.

import type { Agent } from './agent'

export * from 'node:http'
export { Agent, type AgentOptions } from './agent'

/** keepwire's agent with the settings of the runtime's own `globalAgent`: `keepAlive`, `'lifo'`, 5 seconds. */
export const globalAgent: Agent
