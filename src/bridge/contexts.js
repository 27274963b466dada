// Run once in the addon's own realm. A test runner loads a package anew in a context of its own, over and over, with one addon for
// all of them. What wakes a context's port must not keep that context, so it is held weakly while nothing is under way.
;(native) => {
  /** @type {Map<number, WeakRef<() => void>>} */
  const wakes = new Map()
  /** @type {Map<number, () => void>} */
  const held = new Map()
  const collected = new FinalizationRegistry((port) => {
    wakes.delete(port)
    native.closePort(port)
  })
  native.contexts = {
    /** What the engine calls when records wait. */
    wake: (port) => (held.get(port) ?? wakes.get(port)?.deref())?.(),
    /** From now on a port is woken by that function, and closed when it was collected. */
    watch: (port, wake) => {
      wakes.set(port, new WeakRef(wake))
      collected.register(wake, port)
    },
    /** While something is under way, its context is kept. */
    hold: (port, isActive) => {
      const wake = isActive ? wakes.get(port)?.deref() : undefined
      if (wake === undefined) held.delete(port)
      else held.set(port, wake)
    },
  }
}
