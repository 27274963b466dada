// Calls install() when it is loaded: for `node --require`, `node --import`, `bun --preload` and `deno --preload`.

export {}
