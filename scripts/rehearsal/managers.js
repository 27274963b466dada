'use strict'

// Package managers: how each installs keepwire and axios into an empty project, and runs the project's script.

const fs = require('node:fs')
const path = require('node:path')

const { homeOf } = require('../programs.js')

/**
 * @typedef {object} Tools
 * @property {string} node
 * @property {string} bun
 * @property {string} deno
 * @property {string} registry its URL
 *
 * @typedef {object} Manager
 * @property {string} name what the table calls it
 * @property {string} [program] in the table of scripts/programs.js
 * @property {string} how to install, for the reader
 * @property {string} runs what runs the script
 * @property {(tools: Tools, project: string) => { commands: string[][], run: string[] }} plan
 */

/** @param {string} name @param {string} bin */
const binOf = (name, bin) => path.join(homeOf(name), 'node_modules', '.bin', bin)

/**
 * @param {Tools} tools
 * @param {string} project
 * @param {string} linker
 */
function yarn4({ node, registry }, project, linker) {
  const settings = {
    nodeLinker: linker,
    npmRegistryServer: registry,
    unsafeHttpWhitelist: ['127.0.0.1'],
    // What is installed here was published a minute ago.
    npmMinimalAgeGate: 0,
    // Also what it remembers of other registries.
    globalFolder: path.join(project, '.global'),
    enableGlobalCache: false,
    enableTelemetry: false,
    enableImmutableInstalls: false,
  }
  fs.writeFileSync(path.join(project, '.yarnrc.yml'), JSON.stringify(settings))
  // Makes it a project of its own, wherever it is.
  fs.writeFileSync(path.join(project, 'yarn.lock'), '')
  const yarn = path.join(homeOf('yarn4'), 'node_modules', '@yarnpkg', 'cli-dist', 'bin', 'yarn.js')
  return { commands: [[node, yarn, 'add', 'keepwire', 'axios']], run: [node, yarn, 'node', 'app.js'] }
}

/** The first is the one of `--quick`. @type {Manager[]} */
const MANAGERS = [
  {
    name: 'npm',
    how: 'npm install keepwire',
    runs: 'node app.js',
    plan: ({ node }) => ({
      commands: [
        ['npm', 'install', 'keepwire'],
        ['npm', 'install', 'axios'],
      ],
      run: [node, 'app.js'],
    }),
  },
  {
    name: 'pnpm 12',
    program: 'pnpm',
    how: 'pnpm add keepwire',
    runs: 'node app.js',
    plan: ({ node, registry }, project) => {
      const settings = { storeDir: path.join(project, '.store'), minimumReleaseAge: 0, registry }
      fs.writeFileSync(path.join(project, 'pnpm-workspace.yaml'), JSON.stringify(settings))
      return { commands: [[binOf('pnpm', 'pnpm'), 'add', 'keepwire', 'axios']], run: [node, 'app.js'] }
    },
  },
  {
    name: 'yarn 1',
    program: 'yarn1',
    how: 'yarn add keepwire',
    runs: 'node app.js',
    plan: ({ node, registry }, project) => {
      const cache = ['--cache-folder', path.join(project, '.cache')]
      const yarn = path.join(homeOf('yarn1'), 'node_modules', 'yarn', 'bin', 'yarn.js')
      return {
        commands: [[node, yarn, 'add', 'keepwire', 'axios', '--registry', registry, '--no-progress', ...cache]],
        run: [node, 'app.js'],
      }
    },
  },
  {
    name: "yarn 4, plug'n'play",
    program: 'yarn4',
    how: 'yarn add keepwire',
    runs: 'yarn node app.js',
    plan: (tools, project) => yarn4(tools, project, 'pnp'),
  },
  {
    name: 'yarn 4, node_modules',
    program: 'yarn4',
    how: 'yarn add keepwire',
    runs: 'node app.js',
    plan: (tools, project) => ({ ...yarn4(tools, project, 'node-modules'), run: [tools.node, 'app.js'] }),
  },
  {
    name: 'bun 1.4',
    how: 'bun add keepwire',
    runs: 'bun app.js',
    plan: ({ bun }) => ({ commands: [[bun, 'add', 'keepwire', 'axios']], run: [bun, 'app.js'] }),
  },
  {
    name: 'deno 2',
    how: 'deno add npm:keepwire',
    runs: 'deno run -A app.js',
    plan: ({ deno }, project) => {
      fs.writeFileSync(
        path.join(project, 'deno.json'),
        JSON.stringify({ nodeModulesDir: 'auto', minimumDependencyAge: 0 }),
      )
      return { commands: [[deno, 'add', 'npm:keepwire', 'npm:axios']], run: [deno, 'run', '-A', 'app.js'] }
    },
  },
]

module.exports = { MANAGERS }
