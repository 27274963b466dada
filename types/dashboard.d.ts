import type { IncomingMessage, ServerResponse } from 'node:http'

export interface DashboardHandlerOptions {
  /**
   * What lookers must show, as `?token=…` or as `Authorization: Bearer …`; at least 16 characters. Without it only requests
   * from this machine are answered, and none that came through a proxy.
   */
  token?: string
  /** Names that `Host` headers may have besides `localhost` and addresses. */
  hosts?: string[]
}

export interface DashboardOptions extends DashboardHandlerOptions {
  /** 0: any that is free. Default: 9230. */
  port?: number
  /** Default: `127.0.0.1`. An address that is not a loopback one needs a `token`. */
  host?: string
}

export interface Dashboard {
  port: number
  url: string
  /** Ends the server and its streams. */
  close(): Promise<void>
}

export interface DashboardFunction {
  /**
   * Starts a server that shows what the connections of the process do. It keeps no process alive. Rejects if it can't listen,
   * or with `ERR_INVALID_ARG_VALUE` if there is no token where one is needed.
   */
  (options?: DashboardOptions): Promise<Dashboard>
  /** The same for a server of the program's own: `app.use('/keepwire', dashboard.handler())`. */
  handler(
    options?: DashboardHandlerOptions,
  ): (request: IncomingMessage, response: ServerResponse, next?: () => void) => void
}

export const dashboard: DashboardFunction
