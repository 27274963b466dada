// What the options of proxies take.

import { Agent, fetch, http, HttpsAgent, type ProxyFunction, stats } from 'keepwire'

const choose: ProxyFunction = async (url) => (url.hostname === 'a' ? null : new URL('socks5h://user:pass@b:1080'))
new Agent({ proxy: choose, onProxyError: (error, proxy) => console.log(error.message, proxy.host) })
new HttpsAgent({ proxy: 'https://localhost', proxyTls: { ca: 'pem' }, proxyHeaders: { a: ['b'] } })
new Agent({ proxyEnv: process.env })
http.get('http://localhost', { proxy: () => null })
fetch('http://localhost', { proxy: 'http://localhost:3128', proxyHeaders: { a: 'b' } })
const refused: number | undefined = stats().proxies?.['http://localhost:3128']?.refused['407']
console.log(refused)
// @ts-expect-error
new Agent({ proxy: 5 })
// @ts-expect-error
new Agent({ proxy: () => 5 })
