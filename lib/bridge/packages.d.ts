// The platform packages, of which at most one is installed; for `npm run types` only, not part of the package.

declare module 'keepwire-*' {
  // biome-ignore lint/suspicious/noExplicitAny: native.js says what it is
  const addon: any
  export = addon
}
