'use strict'

// Bundlers and tracers of files: what each makes of a program with keepwire in it, without a setting and by the recipe of
// docs/bundlers-and-platforms.md. What carries the addon runs in an empty folder; what marks keepwire as external runs where it is
// installed.

const fs = require('node:fs')
const path = require('node:path')

const { homeOf } = require('../programs.js')
const { run } = require('../process.js')

/**
 * @typedef {import('./managers.js').Tools} Tools
 *
 * @typedef {object} Bundler
 * @property {string} name what the table calls it
 * @property {string} [program] in the table of scripts/programs.js
 * @property {string} recipe for the reader: what makes it work; empty: nothing need be set
 * @property {boolean} carries whether the addon comes along, by the recipe
 * @property {(tools: Tools, project: string, out: string, external: boolean) => Promise<string[]>} make what runs the result, out of the folder
 *   `out`; `external`: by the recipe
 */

/**
 * Runs a script against a program's API, in a process of its own: with the packages of the program's folder.
 * @param {string} node
 * @param {string} program
 * @param {string} code
 * @param {string[]} args
 */
async function call(node, program, code, args) {
  const file = path.join(homeOf(program), 'rehearse.mjs')
  fs.writeFileSync(file, code)
  const { code: status, output } = await run(node, [file, ...args], {
    cwd: args[0],
    capture: 'both',
    timeoutMs: 120_000,
  })
  if (status !== 0) throw new Error(output.trim())
}

/** The arguments of these scripts: project, folder of the result, whether keepwire is external. */
const ARGUMENTS = `
const [, , project, out, flag] = process.argv
const external = flag === 'external' ? ['keepwire'] : []
process.chdir(project)
`

const ESBUILD = `import { build } from 'esbuild'${ARGUMENTS}
await build({ entryPoints: ['app.js'], bundle: true, platform: 'node', outfile: out + '/app.js', external, logLevel: 'error' })
`
const ESBUILD_COPY = `import { build } from 'esbuild'${ARGUMENTS}
const loader = flag === 'external' ? { '.node': 'copy' } : {}
await build({ entryPoints: ['app.js'], bundle: true, platform: 'node', outdir: out, loader, logLevel: 'error' })
`
const WEBPACK = `import webpack from 'webpack'${ARGUMENTS}
const recipe = { externals: /^keepwire\\b/, externalsType: 'commonjs' }
const compiler = webpack({
  mode: 'none', target: 'node', context: project, entry: './app.js', output: { path: out, filename: 'app.js' },
  ...(flag === 'external' ? recipe : {}),
})
compiler.run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.log(error ?? stats.toString({ all: false, errors: true }))
    process.exitCode = 1
  }
})
`
const ROLLUP = `import { rollup } from 'rollup'
import commonjs from '@rollup/plugin-commonjs'
import json from '@rollup/plugin-json'
import resolve from '@rollup/plugin-node-resolve'${ARGUMENTS}
const plugins = [resolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs({ ignoreDynamicRequires: true }), json()]
const recipe = { external: [/^keepwire\\b/] }
const made = await rollup({ input: 'app.js', plugins, onwarn() {}, ...(flag === 'external' ? recipe : {}) })
await made.write({ file: out + '/app.js', format: 'cjs' })
`
const VITE = `import { build } from 'vite'${ARGUMENTS}
await build({
  root: project, logLevel: 'error',
  ssr: { noExternal: flag === 'external' ? undefined : true, external },
  build: { ssr: 'app.js', outDir: out, rollupOptions: { output: { format: 'cjs', entryFileNames: 'app.js' } } },
})
`
const NCC = `import ncc from '@vercel/ncc'
import fs from 'node:fs'
import path from 'node:path'${ARGUMENTS}
const { code, assets } = await ncc(path.join(project, 'app.js'), { cache: false, quiet: true, externals: external })
fs.writeFileSync(path.join(out, 'app.js'), code)
for (const [name, { source }] of Object.entries(assets)) {
  fs.mkdirSync(path.dirname(path.join(out, name)), { recursive: true })
  fs.writeFileSync(path.join(out, name), source)
}
`
const NFT = `import { nodeFileTrace } from '@vercel/nft'
import fs from 'node:fs'
import path from 'node:path'${ARGUMENTS}
const { fileList } = await nodeFileTrace([path.join(project, 'app.js')], { base: project })
for (const file of fileList) {
  fs.mkdirSync(path.dirname(path.join(out, file)), { recursive: true })
  fs.copyFileSync(path.join(project, file), path.join(out, file))
}
`

/**
 * @param {string} program
 * @param {string} code
 * @returns {Bundler['make']}
 */
const byScript = (program, code) => {
  return async ({ node }, project, out, external) => {
    await call(node, program, code, [project, out, external ? 'external' : ''])
    return [node, path.join(out, 'app.js')]
  }
}

/** @type {Bundler[]} */
const BUNDLERS = [
  { name: '@vercel/nft', program: 'nft', recipe: '', carries: true, make: byScript('nft', NFT) },
  { name: 'ncc', program: 'ncc', recipe: '', carries: true, make: byScript('ncc', NCC) },
  {
    name: 'esbuild',
    program: 'esbuild',
    recipe: '--external:keepwire',
    carries: false,
    make: byScript('esbuild', ESBUILD),
  },
  {
    name: 'esbuild, with the addon',
    program: 'esbuild',
    recipe: '--loader:.node=copy',
    carries: true,
    make: byScript('esbuild', ESBUILD_COPY),
  },
  {
    name: 'webpack',
    program: 'webpack',
    recipe: "externals: /^keepwire\\b/, externalsType: 'commonjs'",
    carries: false,
    make: byScript('webpack', WEBPACK),
  },
  {
    name: 'rollup',
    program: 'rollup',
    recipe: 'external: [/^keepwire\\b/]',
    carries: false,
    make: byScript('rollup', ROLLUP),
  },
  {
    name: 'Vite (ssr)',
    program: 'vite',
    recipe: "ssr: { external: ['keepwire'] }",
    carries: false,
    make: byScript('vite', VITE),
  },
  {
    name: 'bun build --compile',
    recipe: '',
    carries: true,
    async make({ bun }, project, out, external) {
      const file = path.join(out, 'app')
      const args = ['build', '--compile', 'app.js', '--outfile', file, ...(external ? ['--external', 'keepwire'] : [])]
      const { code, output } = await run(bun, args, { cwd: project, capture: 'both', timeoutMs: 120_000 })
      if (code !== 0) throw new Error(output.trim())
      return [file]
    },
  },
]

module.exports = { BUNDLERS }
