// What an ES module finds in keepwire and keepwire/http.

import { createRequire } from 'node:module'
import * as runtime from 'node:http'

import * as imported from 'keepwire'
import * as http from 'keepwire/http'

const required = createRequire(import.meta.url)('keepwire')
const OURS = ['Agent', 'ClientRequest', 'get', 'globalAgent', 'request']
// Copies, to look names up by variables.
const [whole, standIn, theirs] = [{ ...imported }, { ...http }, { ...runtime }]

console.log(
  JSON.stringify({
    package: Object.keys(required).filter((name) => whole[name] !== required[name]),
    ours: OURS.filter((name) => standIn[name] !== required.http[name]),
    isWhole: standIn.default === required.http,
    missing: Object.keys(theirs).filter((name) => !(name in standIn)),
    same: OURS.filter((name) => standIn[name] === theirs[name]),
  }),
)
