// Run in the addon's own realm. A test runner loads a package anew in a context of its own, over and over, with one addon for all of
// them: what a context's port is woken by must not keep that context, so it is held weakly while nothing is under way.
;(wake, close) => {
  const weak = new WeakRef(wake)
  let held
  const collected = new FinalizationRegistry(close)
  return {
    // The engine holds this, and by it all else here.
    wake: () => (held ?? weak.deref())?.(),
    hold: (isActive) => {
      held = isActive ? weak.deref() : undefined
    },
    watch: (target, port) => collected.register(target, port),
  }
}
