'use strict'

// What OpenTelemetry calls the families of metrics, and in which units: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/;
// what it has no name for is ours.

/** @typedef {Record<string, string | number | boolean>} Attributes */
/**
 * @typedef {object} Convention
 * @property {string} name
 * @property {string} unit of UCUM
 * @property {Record<string, string>} [attributes] by the family's label
 */

/** By the names that Prometheus has for them (metrics/families.js). @type {Record<string, Convention>} */
const CONVENTIONS = {
  http_client_request_duration_seconds: {
    name: 'http.client.request.duration',
    unit: 's',
    attributes: { method: 'http.request.method', status: 'keepwire.response.status_class' },
  },
  http_client_open_connections: {
    name: 'http.client.open_connections',
    unit: '{connection}',
    attributes: { state: 'http.connection.state' },
  },
  http_client_connection_duration_seconds: { name: 'http.client.connection.duration', unit: 's' },
  http_client_request_time_in_queue_seconds: { name: 'keepwire.request.time_in_queue', unit: 's' },
  keepwire_connections_opened_total: { name: 'keepwire.connections.opened', unit: '{connection}' },
  keepwire_connections_reused_total: { name: 'keepwire.connections.reused', unit: '{request}' },
  keepwire_connections_closed_total: {
    name: 'keepwire.connections.closed',
    unit: '{connection}',
    attributes: { reason: 'keepwire.close.reason' },
  },
  keepwire_connections_pending: { name: 'keepwire.requests.pending', unit: '{request}' },
  keepwire_connections_dialing: { name: 'keepwire.connections.dialing', unit: '{connection}' },
  keepwire_connections_limit: { name: 'keepwire.connections.limit', unit: '{connection}' },
  keepwire_requests_resent_total: { name: 'keepwire.requests.resent', unit: '{request}' },
  keepwire_requests_moved_total: { name: 'keepwire.requests.moved', unit: '{request}' },
  keepwire_requests_passed_over_total: { name: 'keepwire.requests.passed_over', unit: '{request}' },
  keepwire_requests_failed_total: {
    name: 'keepwire.requests.failed',
    unit: '{request}',
    attributes: { error: 'error.type' },
  },
  keepwire_requests_fallback_total: {
    name: 'keepwire.requests.fallback',
    unit: '{request}',
    attributes: { reason: 'keepwire.fallback.reason' },
  },
  keepwire_connection_setup_seconds: {
    name: 'keepwire.connection.setup',
    unit: 's',
    attributes: { phase: 'keepwire.phase' },
  },
  keepwire_time_to_first_byte_seconds: { name: 'keepwire.request.time_to_first_byte', unit: 's' },
  keepwire_io_bytes_total: {
    name: 'keepwire.io',
    unit: 'By',
    attributes: { direction: 'network.io.direction' },
  },
  keepwire_tls_handshakes_total: {
    name: 'keepwire.tls.handshakes',
    unit: '{handshake}',
    attributes: { resumed: 'tls.resumed' },
  },
  keepwire_proxy_open_connections: {
    name: 'keepwire.proxy.open_connections',
    unit: '{connection}',
    attributes: { state: 'http.connection.state' },
  },
  keepwire_proxy_connections_opened_total: { name: 'keepwire.proxy.connections.opened', unit: '{connection}' },
  keepwire_proxy_connections_reused_total: { name: 'keepwire.proxy.connections.reused', unit: '{request}' },
  keepwire_proxy_refusals_total: {
    name: 'keepwire.proxy.refusals',
    unit: '{connection}',
    attributes: { status: 'keepwire.proxy.status' },
  },
  keepwire_proxy_errors_total: {
    name: 'keepwire.proxy.errors',
    unit: '{connection}',
    attributes: { error: 'error.type' },
  },
  keepwire_proxy_setup_seconds: { name: 'keepwire.proxy.setup', unit: 's' },
}

/**
 * Whom an origin of totals() names.
 * @param {string} origin
 * @returns {Attributes}
 */
function serverOf(origin) {
  const [, socketScheme, socketPath] = /^(https?)\+unix:(.*)$/s.exec(origin) ?? []
  if (socketScheme !== undefined) return { 'server.address': socketPath, 'url.scheme': socketScheme }
  const [, scheme, host, port] = /^(https?):\/\/(.*):(\d+)$/s.exec(origin) ?? []
  // All that have no name, or one that the program gave them.
  if (scheme === undefined) return { 'server.address': origin }
  return { 'server.address': host.replace(/^\[(.*)\]$/, '$1'), 'server.port': Number(port), 'url.scheme': scheme }
}

/**
 * @param {Convention} convention
 * @param {Record<string, string>} labels
 * @returns {Attributes}
 */
function attributesOf({ attributes = {} }, { origin, proxy, ...labels }) {
  /** @type {Attributes} */
  const named = proxy === undefined ? serverOf(origin) : { 'keepwire.proxy.name': proxy }
  for (const [label, value] of Object.entries(labels)) {
    named[attributes[label]] = label === 'resumed' ? value === 'true' : value
  }
  return named
}

module.exports = { attributesOf, CONVENTIONS, serverOf }
