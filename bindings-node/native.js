// The addon. `native.cjs` is generated: it finds the file for this platform.
import native from './native.cjs'

export const { Hub, Parser, Selector, Subscription, check, encode, panicForTest, version } = native
