/** What {@link install} replaces. */
export interface InstallOptions {
  /**
   * Whether `request`, `get` and `ClientRequest` are replaced as well, not only the agents.
   *
   * Default: false; true on a runtime whose own ones ignore the agent that they are given (Bun up to 1.3).
   */
  request?: boolean | undefined

  /**
   * Whether `globalThis.fetch` is replaced as well, by a function that is the standard's: keepwire's own options (`agent`,
   * `timeout`, `maxResponseSize`) are none there. What the engine can't carry goes to the runtime's own fetch.
   *
   * Default: false. In a process without `globalThis.fetch`: `ERR_INVALID_STATE`.
   */
  fetch?: boolean | undefined
}

/**
 * Puts keepwire into the runtime's own `node:http` and `node:https`: their `Agent` and `globalAgent` become keepwire's,
 * for CommonJS and for ES modules. Requests that name no agent, and agents made from now on, are carried by keepwire. Agents and
 * classes that exist already stay what they are.
 *
 * Bun and Deno keep the values of `import { Agent } from 'node:http'` once they are bound: there, load
 * `keepwire/register` before the program.
 */
export function install(options?: InstallOptions): void

/** Undoes {@link install}. What somebody else has put in keepwire's place since is left alone. */
export function uninstall(): void
