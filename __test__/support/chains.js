'use strict'

// Chains of certificates, right and wrong in each way that a judge of them must know. Each has names of its own, so that the
// anchors of all may be trusted at once.

const {
  certificate,
  ECDSA,
  element,
  EXTENSIONS,
  extension,
  GENERAL,
  integer,
  keyOf,
  nameOf,
  objectId,
  pemOf,
  revocationList,
  RSA,
  sequence,
  SHA1_ECDSA,
  timeAt,
  timeText,
  utcText,
} = require('./der-certificates')

const { basic, keyUsage, purposes, names, keyId, authority, constraints, netscape } = EXTENSIONS

/** Uses of keys, as the first byte has them. */
const SIGNATURE = 0x80
const AGREEMENT = 0x08
const CERTIFICATES = 0x04
const LISTS = 0x02

const SERVER = '1.3.6.1.5.5.7.3.1'
const CLIENT = '1.3.6.1.5.5.7.3.2'
const ANY_PURPOSE = '2.5.29.37.0'
const MICROSOFT_SGC = '1.3.6.1.4.1.311.10.3.3'
const NETSCAPE_SGC = '2.16.840.1.113730.4.1'

const LOCAL = [GENERAL.dns('localhost'), GENERAL.ip(127, 0, 0, 1)]
const NULL = Buffer.from('0500', 'hex')
const UNKNOWN = (critical) => extension('1.3.6.1.4.1.99999.1', NULL, critical)

let count = 0

/** Names that no other chain has. */
function newNames() {
  count += 1
  const own = (role) => nameOf(['O', 'keepwire'], ['CN', `${role} ${count}`])
  return { root: own('Root'), middle: own('Middle'), leaf: own('Leaf') }
}

/**
 * What certificates of a role say if nothing else is asked for; `changes` replaces parts, null leaves one out, `more` adds.
 * @param {'root' | 'middle' | 'leaf'} role
 * @param {Record<string, any>} changes
 * @param {any} own its key
 * @param {any} issuer its issuer's key
 */
function extensionsOf(role, changes, own, issuer) {
  const isAuthority = role !== 'leaf'
  const { more = [], ...parts } = {
    basic: isAuthority ? basic(true) : basic(false),
    keyUsage: isAuthority ? keyUsage([CERTIFICATES | LISTS], 1) : keyUsage([SIGNATURE], 7),
    purposes: isAuthority ? null : purposes([SERVER]),
    names: isAuthority ? null : names(LOCAL),
    keyId: keyId(own.id),
    authority: role === 'root' || issuer === undefined ? null : authority({ id: issuer.id }),
    ...changes,
  }
  const given = [parts.basic, parts.keyUsage, parts.purposes, parts.names, parts.keyId, parts.authority]
  return [...given.filter((part) => part !== null), ...more]
}

/**
 * A root, a link and a leaf, each with changes: those of the extensions in `say`, others are the certificate's.
 * @param {{ root?: any, middle?: any, leaf?: any }} changes `middle: null`: the root has issued the leaf
 */
function family({ root = {}, middle = {}, leaf = {} } = {}) {
  const own = newNames()
  const make = (role, { say = {}, ...changes }, issuer, key = keyOf(role)) => {
    const by = changes.issuer ?? issuer
    const extensions = say === null ? [] : extensionsOf(role, say, changes.key ?? key, by?.key)
    return certificate({ subject: own[role], key, issuer: by, extensions, ...changes })
  }
  const top = make('root', root)
  const link = middle === null ? undefined : make('middle', middle, top)
  return { own, make, root: top, middle: link, leaf: make('leaf', leaf, link ?? top) }
}

/** @typedef {{ title: string, key: string, chain: string[], ca: any, options: Record<string, unknown>, host?: string }} Chain */

/** @type {Record<string, Chain[]>} */
const groups = {}

/**
 * @param {string} group
 * @param {string} title
 * @param {ReturnType<typeof family>} made
 * @param {object} [other] what is sent and trusted if not the usual
 */
function add(group, title, made, other = {}) {
  const { leaf, middle, root } = made
  const { chain = [leaf, ...(middle ? [middle] : [])], ca = [root.pem], options = {}, host } = other
  groups[group] ??= []
  groups[group].push({ title, key: chain[0].key.pem, chain: chain.map(({ pem }) => pem), ca, options, host })
}

const ROLES = ['leaf', 'middle', 'root']

/** Deno's node:crypto has not every kind of key and signature. @type {string[]} */
const unmade = []

/** The same change in each role. */
function each(group, title, change, roles = ROLES) {
  for (const role of roles) {
    try {
      add(group, `${role}: ${title}`, family({ [role]: typeof change === 'function' ? change() : change }))
    } catch {
      unmade.push(`${group}: ${role}: ${title}`)
    }
  }
}

const saying = (say) => ({ say })

add('usual', 'root, link and leaf', family())
add('usual', 'root and leaf', family({ middle: null }))

for (const [title, value] of Object.entries({
  none: null,
  'no authority': basic(false),
  'no authority, not critical': basic(false, undefined, false),
  'an authority': basic(true),
  'an authority, not critical': basic(true, undefined, false),
  'no link below': basic(true, '00'),
  'one link below': basic(true, '01'),
  'a length without an authority': basic(false, '00'),
  'a huge length': basic(true, '00ffffffffffffffff'),
  'a negative length': basic(true, '80'),
  malformed: extension('2.5.29.19', NULL, true),
})) {
  each('basicConstraints', title, saying({ basic: value }))
}
each('basicConstraints', 'twice', saying({ more: [basic(true)] }))
for (const length of ['00', '01', '02']) {
  const made = family({ root: saying({ basic: basic(true, length) }) })
  const { make, middle } = made
  const second = make('middle', { subject: nameOf(['CN', `Second ${length}`]), key: keyOf('second') }, middle)
  const selfIssued = make('middle', { key: keyOf('second') }, middle)
  for (const [title, last] of [
    ['two links', second],
    ['a link and one that its issuer renewed', selfIssued],
  ]) {
    const leaf = make('leaf', {}, last)
    add('basicConstraints', `root allows ${Number(length)}: ${title}`, made, { chain: [leaf, last, middle] })
  }
}

for (const [title, value] of Object.entries({
  none: null,
  signatures: keyUsage([SIGNATURE], 7),
  'signatures, not critical': keyUsage([SIGNATURE], 7, false),
  'key agreement': keyUsage([AGREEMENT], 3),
  'certificates only': keyUsage([CERTIFICATES], 2),
  'lists only': keyUsage([LISTS], 1),
  'certificates and signatures': keyUsage([SIGNATURE | CERTIFICATES], 2),
  'a use of the second byte': keyUsage([0, 0x80], 7),
  'no bits': keyUsage([], 0),
  'zero bits': keyUsage([0], 7),
  malformed: extension('2.5.29.15', NULL, true),
})) {
  each('keyUsage', title, saying({ keyUsage: value }))
}
each('keyUsage', 'twice', saying({ more: [keyUsage([SIGNATURE | CERTIFICATES], 2)] }))
each(
  'keyUsage',
  'certificates, without basicConstraints',
  saying({ basic: null, keyUsage: keyUsage([CERTIFICATES], 2) }),
)

for (const [title, value] of Object.entries({
  none: null,
  server: purposes([SERVER]),
  'server, critical': purposes([SERVER], true),
  client: purposes([CLIENT]),
  'client and server': purposes([CLIENT, SERVER]),
  any: purposes([ANY_PURPOSE]),
  'any and client': purposes([ANY_PURPOSE, CLIENT]),
  "Microsoft's server gated": purposes([MICROSOFT_SGC]),
  "Netscape's server gated": purposes([NETSCAPE_SGC]),
  unknown: purposes(['1.2.3.4']),
  'an empty list': purposes([]),
  malformed: extension('2.5.29.37', NULL),
})) {
  each('extKeyUsage', title, saying({ purposes: value }))
}

for (const [title, value] of Object.entries({
  unknown: UNKNOWN(false),
  'unknown, critical': UNKNOWN(true),
  'policies, critical': extension('2.5.29.32', sequence(sequence(objectId('2.5.29.32.0'))), true),
  'policy constraints, critical': extension('2.5.29.36', sequence(element(0x80, Buffer.from([0]))), true),
  'no policy, critical': extension('2.5.29.54', integer('00'), true),
  'places of lists': extension(
    '2.5.29.31',
    sequence(sequence(element(0xa0, element(0xa0, GENERAL.uri('http://localhost/crl'))))),
  ),
  'malformed places of lists': extension('2.5.29.31', NULL),
  'access to the issuer, critical': extension('1.3.6.1.5.5.7.1.1', sequence(), true),
  'a transparency poison, critical': extension('1.3.6.1.4.1.11129.2.4.3', NULL, true),
  'no check of responders, critical': extension('1.3.6.1.5.5.7.48.1.5', NULL, true),
  'features of TLS': extension('1.3.6.1.5.5.7.1.24', sequence(integer('05'))),
  "Netscape's for servers": netscape(0x40),
  "Netscape's for clients": netscape(0x80),
  "Netscape's for authorities": netscape(0x04),
})) {
  each('other extensions', title, saying({ more: [value] }))
}
for (const kind of [0x04, 0x02]) {
  const more = [netscape(kind)]
  each("Netscape's alone", `kind ${kind}`, saying({ basic: null, keyUsage: null, more }), ['middle', 'root'])
}
each('other extensions', 'malformed alternative names', saying({ names: extension('2.5.29.17', NULL) }))
add('other extensions', 'leaf: critical alternative names', family({ leaf: saying({ names: names(LOCAL, true) }) }))

for (const [title, change] of Object.entries({
  expired: { until: timeAt(-1) },
  'not yet valid': { from: timeAt(1) },
  'expired before it was valid': { from: timeAt(5), until: timeAt(-5) },
  'since 1950': { from: utcText('500101000000Z') },
  'since 1969': { from: utcText('691231235959Z') },
  'since 1900': { from: timeText('19000101000000Z') },
  'until 1960': { from: utcText('500101000000Z'), until: utcText('600101000000Z') },
  'until 9999': { until: timeText('99991231235959Z') },
  'until a time of the other kind': { until: timeAt(10, true) },
  'since a time without seconds': { from: utcText('2401010000Z') },
  'until a time without a zone': { until: timeText('20990101000000') },
  'until a time with an offset': { until: timeText('20990101000000+0100') },
  'until a time with a fraction': { until: timeText('20990101000000.5Z') },
  'until a day that is none': { until: timeText('20990230000000Z') },
})) {
  each('time', title, change)
}

each('version', '1', { version: 1, say: null })
each('version', '2', { version: 2, say: null })
each('version', '3 without extensions', { say: null })
each('version', '1 with extensions', { version: 1 })
each('serial', 'zero', { serial: '00' })
each('serial', 'negative', { serial: 'ff01' })
each('serial', 'of 24 bytes', { serial: `01${'ab'.repeat(23)}` })

each('key ids', 'none of its own', saying({ keyId: null }))
each('key ids', "none of its issuer's", saying({ authority: null }))
each('key ids', 'neither', saying({ keyId: null, authority: null }))
each('key ids', 'another of its own', saying({ keyId: keyId(Buffer.from('another')) }))
each('key ids', "another of its issuer's", saying({ authority: authority({ id: Buffer.from('another') }) }))
each('key ids', 'critical', saying({ keyId: keyId(keyOf('middle').id, true) }), ['middle'])
each('key ids', 'malformed', saying({ keyId: extension('2.5.29.14', NULL) }))
each('key ids', "malformed, of its issuer's", saying({ authority: extension('2.5.29.35', NULL) }))
for (const [title, wanted] of Object.entries({
  'by name and number': ({ own }) => ({ issuer: own.root, serial: '0777' }),
  'by another number': ({ own }) => ({ issuer: own.root, serial: '0778' }),
  'by another name': ({ own }) => ({ issuer: own.leaf, serial: '0777' }),
  'by number alone': () => ({ serial: '0777' }),
})) {
  const made = family({ middle: { serial: '0777' } })
  const leaf = made.make('leaf', saying({ authority: authority(wanted(made)) }), made.middle)
  add('key ids', `leaf: its issuer is told ${title}`, made, { chain: [leaf, made.middle] })
}

for (const [title, issuerName, subject] of [
  ['in another type', ['CN', 'Spelled A', 'printable'], ['CN', 'Spelled A']],
  ['in upper case', ['CN', 'SPELLED B'], ['CN', 'Spelled b']],
  ['with more spaces', ['CN', '  Spelled   C '], ['CN', 'Spelled C']],
  ['as a BMP string', ['CN', 'Spelled D', 'bmp'], ['CN', 'Spelled D']],
  ['as a universal string', ['CN', 'Spelled E', 'universal'], ['CN', 'Spelled E']],
  ['as a teletex string', ['CN', 'Spelled Ü', 'teletex'], ['CN', 'Spelled Ü']],
  ['as an IA5 string', ['CN', 'Spelled F', 'ia5'], ['CN', 'Spelled F']],
  ['with other umlauts', ['CN', 'SPELLED Ö'], ['CN', 'spelled ö']],
  ['as a numeric string', ['CN', '123456', 'numeric'], ['CN', '123456']],
  ['without a space', ['CN', 'SpelledG'], ['CN', 'Spelled G']],
  ['as another attribute', ['OU', 'Spelled H'], ['CN', 'Spelled H']],
]) {
  for (const role of ['middle', 'root']) {
    const child = role === 'root' ? 'middle' : 'leaf'
    const unlike = ([type, text, kind]) => [type, `${text}${role === 'root' ? '1' : '2'}`, kind]
    const changes = {
      [role]: { subject: nameOf(unlike(subject)) },
      [child]: { issuerName: nameOf(unlike(issuerName)) },
    }
    add('spelling', `${child}: names its issuer ${title}`, family(changes))
  }
}
{
  const several = (...parts) => nameOf(['O', 'keepwire'], ...parts)
  for (const [title, issuerName] of [
    [
      'in another order of a set',
      several([
        ['OU', 'unit'],
        ['CN', 'Set'],
      ]),
    ],
    ['in several sets', several(['CN', 'Set'], ['OU', 'unit'])],
    ['without a part', several(['CN', 'Set'])],
  ]) {
    const subject = several([
      ['CN', 'Set'],
      ['OU', 'unit'],
    ])
    add('spelling', `leaf: names its issuer ${title}`, family({ middle: { subject }, leaf: { issuerName } }))
  }
  add(
    'spelling',
    'root: names itself in upper case',
    family({ root: { issuerName: nameOf(['O', 'KEEPWIRE'], ['CN', 'x']) } }),
  )
  const subject = nameOf(['CN', 'Loud root'])
  add(
    'spelling',
    'root: spells itself in two ways',
    family({ root: { subject, issuerName: nameOf(['CN', 'LOUD ROOT']) } }),
  )
  const email = { subject: nameOf(['CN', 'With mail'], ['E', 'a@localhost', 'ia5']) }
  add('spelling', 'root: has an address of mail', family({ root: email }))
}

each('signatures', 'broken', { isBroken: true })
each('signatures', 'of SHA-384', { algorithm: ECDSA.sha384 })
each('signatures', 'of SHA-1', { algorithm: SHA1_ECDSA })
each('signatures', 'of another algorithm than it says', { saidAlgorithm: ECDSA.sha384 })
for (const kind of ['P-384', 'P-521', 'Ed25519', 'RSA 1024', 'RSA 2048']) {
  each(
    'keys',
    kind,
    () => ({ key: keyOf('unusual', kind) }),
    kind === 'RSA 2048' || kind === 'P-384' ? ROLES : ['middle', 'root'],
  )
}
each('keys', 'a signature of a kind that its issuer has not', { saidAlgorithm: RSA, algorithm: RSA })

const directory = (...parts) => GENERAL.directory(nameOf(...parts))
for (const [title, limits] of Object.entries({
  'permits the name': { permitted: [GENERAL.dns('localhost')] },
  'permits another name': { permitted: [GENERAL.dns('example.org')] },
  'permits both': { permitted: [GENERAL.dns('example.org'), GENERAL.dns('localhost')] },
  'permits it in capitals': { permitted: [GENERAL.dns('LOCALHOST')] },
  'permits all names': { permitted: [GENERAL.dns('')] },
  'permits names below': { permitted: [GENERAL.dns('.localhost')] },
  'excludes the name': { excluded: [GENERAL.dns('localhost')] },
  'excludes another name': { excluded: [GENERAL.dns('example.org')] },
  'excludes all names': { excluded: [GENERAL.dns('')] },
  'permits the name, and excludes it': { permitted: [GENERAL.dns('localhost')], excluded: [GENERAL.dns('localhost')] },
  'permits the address': { permitted: [GENERAL.ip(127, 0, 0, 0, 255, 0, 0, 0)] },
  'permits other addresses': { permitted: [GENERAL.ip(10, 0, 0, 0, 255, 0, 0, 0)] },
  'excludes the address': { excluded: [GENERAL.ip(127, 0, 0, 1, 255, 255, 255, 255)] },
  'permits addresses of the other kind': { permitted: [GENERAL.ip(...new Array(32).fill(0))] },
  'has a malformed address': { permitted: [GENERAL.ip(127, 0, 0, 1)] },
  "permits the subject's directory": { permitted: [directory(['O', 'keepwire'])] },
  "permits the subject's directory in capitals": { permitted: [directory(['O', 'KEEPWIRE', 'printable'])] },
  'permits another directory': { permitted: [directory(['O', 'another'])] },
  "excludes the subject's directory": { excluded: [directory(['O', 'keepwire'])] },
  'excludes another directory': { excluded: [directory(['O', 'another'])] },
  'permits all directories': { permitted: [directory()] },
  'permits mail of a host': { permitted: [GENERAL.email('example.org')] },
  'permits URIs of a host': { permitted: [GENERAL.uri('example.org')] },
  'permits a registered id': { permitted: [GENERAL.registered('1.2.3')] },
  'has a minimum': { permitted: [GENERAL.dns('localhost')], more: element(0x80, Buffer.from([1])) },
  'says nothing': {},
})) {
  each('nameConstraints', title, saying({ more: [constraints(limits)] }), ['middle', 'root'])
}
each('nameConstraints', 'malformed', saying({ more: [extension('2.5.29.30', NULL, true)] }))
each(
  'nameConstraints',
  'not critical',
  saying({ more: [constraints({ excluded: [GENERAL.dns('localhost')] }, false)] }),
)
for (const [title, leaf] of Object.entries({
  'a common name only': { subject: nameOf(['CN', 'localhost']), say: { names: null } },
  'a common name beside': { subject: nameOf(['CN', 'example.org']) },
  'mail beside': { say: { names: names([...LOCAL, GENERAL.email('a@example.com')]) } },
  'mail in its subject': { subject: nameOf(['CN', 'x'], ['E', 'a@example.com', 'ia5']) },
  'a URI beside': { say: { names: names([...LOCAL, GENERAL.uri('https://example.com/')]) } },
  'no subject': { subject: nameOf(), say: { names: names(LOCAL, true) } },
})) {
  for (const [limits, value] of Object.entries({
    names: { permitted: [GENERAL.dns('localhost')] },
    mail: { permitted: [GENERAL.email('example.org')] },
    URIs: { permitted: [GENERAL.uri('.example.org')] },
    directories: { permitted: [directory(['O', 'keepwire'])] },
  })) {
    const root = saying({ more: [constraints(value)] })
    add('nameConstraints', `root limits ${limits}; leaf: ${title}`, family({ root, middle: null, leaf }))
  }
}

for (const [title, leaf, host] of [
  ['a common name only', { subject: nameOf(['CN', 'localhost']), say: { names: null } }],
  ['another common name only', { subject: nameOf(['CN', 'example.org']), say: { names: null } }],
  [
    'a common name and mail',
    { subject: nameOf(['CN', 'localhost']), say: { names: names([GENERAL.email('a@b.org')]) } },
  ],
  [
    'a common name and a URI',
    { subject: nameOf(['CN', 'localhost']), say: { names: names([GENERAL.uri('https://localhost/')]) } },
  ],
  [
    'a common name and another name',
    { subject: nameOf(['CN', 'localhost']), say: { names: names([GENERAL.dns('example.org')]) } },
  ],
  [
    'a common name and an address',
    { subject: nameOf(['CN', 'localhost']), say: { names: names([GENERAL.ip(127, 0, 0, 1)]) } },
  ],
  ['two common names', { subject: nameOf(['CN', 'example.org'], ['CN', 'localhost']), say: { names: null } }],
  ['a URI only', { subject: nameOf(['O', 'x']), say: { names: names([GENERAL.uri('https://localhost/')]) } }],
  ['no name at all', { subject: nameOf(), say: { names: null } }],
  ['a name in capitals', { say: { names: names([GENERAL.dns('LOCALHOST')]) } }],
  ['a name with a dot at its end', { say: { names: names([GENERAL.dns('localhost.')]) } }],
  ['a wildcard alone', { say: { names: names([GENERAL.dns('*')]) } }],
  ['an address, asked for by it', { say: { names: names([GENERAL.ip(127, 0, 0, 1)]) } }, '127.0.0.1'],
  ['an address as a name, asked for by it', { say: { names: names([GENERAL.dns('127.0.0.1')]) } }, '127.0.0.1'],
  [
    'an address as a common name, asked for by it',
    { subject: nameOf(['CN', '127.0.0.1']), say: { names: null } },
    '127.0.0.1',
  ],
  ['another address, asked for by address', { say: { names: names([GENERAL.ip(127, 0, 0, 2)]) } }, '127.0.0.1'],
]) {
  add('identity', title, family({ middle: null, leaf }), { host })
}

// Which certificates are sent, trusted, and in which order.
{
  const made = family()
  const { leaf, make, middle, own, root } = made
  const link = (title, other) => add('order', title, made, other)
  link('the root as well', { chain: [leaf, middle, root] })
  link('the root before the link', { chain: [leaf, root, middle] })
  link('the link twice', { chain: [leaf, middle, middle] })
  link('the leaf twice', { chain: [leaf, leaf, middle] })
  link('a stranger before the link', { chain: [leaf, family().middle, middle] })
  link('no link', { chain: [leaf] })
  link('no link, which is trusted', { chain: [leaf], ca: [root.pem, middle.pem] })
  link('the link alone is trusted', { ca: [middle.pem] })
  link('the link alone is trusted, and not sent', { chain: [leaf], ca: [middle.pem] })
  link('the leaf alone is trusted', { ca: [leaf.pem] })
  link('the leaf alone is trusted and sent', { chain: [leaf], ca: [leaf.pem] })
  link('leaf and root are trusted', { chain: [leaf], ca: [leaf.pem, root.pem] })
  link('another root is trusted', { ca: [family().root.pem] })
  link('another root is trusted, this one is sent', { chain: [leaf, middle, root], ca: [family().root.pem] })
  const partial = { allowPartialTrustChain: true }
  link('partial: the link alone is trusted', { ca: [middle.pem], options: partial })
  link('partial: the link alone is trusted, and not sent', { chain: [leaf], ca: [middle.pem], options: partial })
  link('partial: the leaf alone is trusted', { chain: [leaf], ca: [leaf.pem], options: partial })
  link('partial: another one is trusted', { ca: [family().root.pem], options: partial })
  const namesake = make('root', { key: keyOf('namesake') })
  link('a namesake of the root is trusted', { ca: [namesake.pem] })
  link('root and namesake are trusted', { ca: [namesake.pem, root.pem] })
  link('a namesake of the root is sent', { chain: [leaf, middle, namesake] })
  const silent = (role, changes, issuer) =>
    make(role, { ...changes, say: { keyId: null, authority: null, ...changes?.say } }, issuer)
  const [one, other] = [silent('root', {}), silent('root', { key: keyOf('namesake') })]
  const quiet = silent('middle', {}, one)
  const quietLeaf = silent('leaf', {}, quiet)
  const unnamed = (title, more) => link(`without key ids: ${title}`, { chain: [quietLeaf, quiet], ...more })
  unnamed('root', { ca: [one.pem] })
  unnamed('a namesake', { ca: [other.pem] })
  unnamed('root and namesake', { ca: [one.pem, other.pem] })
  unnamed('namesake and root', { ca: [other.pem, one.pem] })
  const stale = silent('root', { until: timeAt(-1) })
  unnamed('a root that has expired', { ca: [stale.pem] })
  unnamed('a root that has expired, and its renewal', { ca: [stale.pem, one.pem] })
  unnamed('a renewal, and the root that has expired', { ca: [one.pem, stale.pem] })
  const staleNamesake = silent('root', { key: keyOf('namesake'), until: timeAt(-1) })
  unnamed('an expired namesake before it', { ca: [staleNamesake.pem, one.pem] })
  const early = silent('root', { key: keyOf('namesake'), from: timeAt(1) })
  unnamed('an expired namesake, and one that is not yet valid', { ca: [staleNamesake.pem, early.pem] })
  const staleQuiet = silent('middle', { until: timeAt(-1) }, one)
  unnamed('an expired link before it', { chain: [quietLeaf, staleQuiet, quiet], ca: [one.pem] })

  const old = family()
  const crossed = make('root', { issuer: old.root, say: { authority: authority({ id: old.root.key.id }) } })
  link('cross-signed, this root is trusted', { chain: [leaf, middle, crossed], ca: [root.pem] })
  link('cross-signed, the other root is trusted', { chain: [leaf, middle, crossed], ca: [old.root.pem] })
  link('cross-signed, both roots are trusted', { chain: [leaf, middle, crossed], ca: [root.pem, old.root.pem] })
  link('cross-signed, none is trusted', { chain: [leaf, middle, crossed], ca: [family().root.pem] })
  link('cross-signed, both roots are sent', { chain: [leaf, middle, root, crossed, old.root], ca: [old.root.pem] })
  const expiredOld = make('root', { subject: own.leaf, key: keyOf('old'), until: timeAt(-1) })
  const crossedOld = make('root', { issuer: expiredOld, say: { authority: authority({ id: keyOf('old').id }) } })
  link('cross-signed by one that has expired, which is trusted', {
    chain: [leaf, middle, crossedOld],
    ca: [expiredOld.pem],
  })
  link('cross-signed by one that has expired, both are trusted', {
    chain: [leaf, middle, crossedOld],
    ca: [expiredOld.pem, root.pem],
  })
  const [a, b] = [nameOf(['CN', 'Circle A']), nameOf(['CN', 'Circle B'])]
  const first = { subject: a, key: keyOf('a') }
  const second = { subject: b, key: keyOf('b') }
  const circle = [make('middle', { ...first, issuer: second }), make('middle', { ...second, issuer: first })]
  link('issuers in a circle', { chain: [make('leaf', {}, first), ...circle] })
  link('issuers in a circle, one is trusted', { chain: [make('leaf', {}, first), ...circle], ca: [circle[1].pem] })
  const deep = [root]
  for (let i = 0; i < 12; i++) {
    deep.unshift(make('middle', { subject: nameOf(['CN', `Deep ${i}`]), key: keyOf(i % 2) }, deep[0]))
  }
  link('twelve links', { chain: [make('leaf', {}, deep[0]), ...deep.slice(0, -1)] })
  link('twelve links, from the top', { chain: [make('leaf', {}, deep[0]), ...deep.slice(0, -1).reverse()] })
}

// Certificates that issued themselves.
for (const [title, say] of Object.entries({
  'a device': { basic: basic(false), keyUsage: keyUsage([SIGNATURE], 7) },
  'a device without basicConstraints': { basic: null, keyUsage: keyUsage([SIGNATURE], 7) },
  'a device without a word': { basic: null, keyUsage: null, purposes: null },
  'an authority': { basic: basic(true), keyUsage: null },
  'an authority that may not sign': { basic: basic(true), keyUsage: keyUsage([SIGNATURE], 7) },
})) {
  const made = family()
  const device = made.make('leaf', { subject: made.own.root, key: keyOf('device'), say }, made.middle)
  const own = certificate({
    subject: made.own.root,
    key: keyOf('device'),
    extensions: extensionsOf('leaf', { authority: null, ...say }, keyOf('device')),
  })
  add('self-signed', `${title}, pinned`, { ...made, leaf: own, root: own }, { chain: [own] })
  add('self-signed', `${title}, unknown`, made, { chain: [own] })
  const leaf = made.make('leaf', {}, own)
  add('self-signed', `${title}, pinned, has signed another`, made, { chain: [leaf], ca: [own.pem] })
  add('self-signed', `${title}, pinned and sent, has signed another`, made, { chain: [leaf, own], ca: [own.pem] })
  add('self-signed', `${title}, unknown and sent, has signed another`, made, { chain: [leaf, own] })
  add('self-signed', `${title}, which a trusted one has signed, has signed another`, made, {
    chain: [made.make('leaf', {}, device), device, made.middle],
  })
}

// Lists of revoked certificates.
{
  const made = family()
  const { leaf, make, middle, root } = made
  const empty = revocationList(root)
  const clean = revocationList(middle)
  const list = (title, crl, other = {}) => add('lists', title, made, { ...other, options: { ...other.options, crl } })
  const reason = (number) => extension('2.5.29.21', element(0x0a, Buffer.from([number])))
  const id = EXTENSIONS.authority({ id: middle.key.id })
  const number = extension('2.5.29.20', integer('01'))
  list('none revoked', [empty, clean])
  list('none revoked, without a link', [empty], { chain: [make('leaf', {}, root)] })
  list('the leaf is revoked', [empty, revocationList(middle, { revoked: [leaf] })])
  list('the leaf is revoked, with a reason', [
    empty,
    revocationList(middle, { revoked: [{ ...leaf, extensions: [reason(1)] }] }),
  ])
  list('the leaf was let go', [empty, revocationList(middle, { revoked: [{ ...leaf, extensions: [reason(8)] }] })])
  list('another one is revoked', [empty, revocationList(middle, { revoked: [root, middle] })])
  list('the link is revoked', [revocationList(root, { revoked: [middle] }), clean])
  list('the root has revoked itself', [revocationList(root, { revoked: [root] }), clean])
  list('none of the link', [empty])
  list('none of the root', [clean])
  list("another's", [revocationList(family().root)])
  list('expired', [empty, revocationList(middle, { from: timeAt(-3), until: timeAt(-1) })])
  list('expired, of the root', [revocationList(root, { from: timeAt(-3), until: timeAt(-1) }), clean])
  list('expired, and the leaf is revoked', [
    empty,
    revocationList(middle, { from: timeAt(-3), until: timeAt(-1), revoked: [leaf] }),
  ])
  list('not yet valid', [empty, revocationList(middle, { from: timeAt(0.5) })])
  list('for ever', [empty, revocationList(middle, { until: null })])
  list('with a broken signature', [empty, revocationList(middle, { isBroken: true })])
  list('with a broken signature, of the root', [revocationList(root, { isBroken: true }), clean])
  list('with a number', [empty, revocationList(middle, { extensions: [id, number] })])
  list('without extensions', [empty, revocationList(middle, { extensions: [] })])
  list("with another's key id", [
    empty,
    revocationList(middle, { extensions: [EXTENSIONS.authority({ id: Buffer.from('another') })] }),
  ])
  list('with an unknown critical extension', [empty, revocationList(middle, { extensions: [id, UNKNOWN(true)] })])
  list('with an unknown extension', [empty, revocationList(middle, { extensions: [id, UNKNOWN(false)] })])
  const limited = extension('2.5.29.28', sequence(element(0x81, Buffer.from([0xff]))), true)
  list('for servers only', [empty, revocationList(middle, { extensions: [id, limited] })])
  list('an older one beside, in which the leaf is revoked', [
    empty,
    revocationList(middle, { from: timeAt(-3), revoked: [leaf] }),
    clean,
  ])
  list('a newer one beside, in which the leaf is revoked', [
    empty,
    revocationList(middle, { from: timeAt(-3) }),
    revocationList(middle, { revoked: [leaf] }),
  ])
  list('an expired one beside', [
    empty,
    revocationList(middle, { from: timeAt(-3), until: timeAt(-1), revoked: [leaf] }),
    clean,
  ])
  list('two in one text', [empty + revocationList(middle, { revoked: [leaf] })])
  list('an empty text', '')
  list('an empty list', [])
  list('one as a text', clean)
  list('a leaf that has expired', [empty, clean], { chain: [make('leaf', { until: timeAt(-1) }, middle), middle] })
  list('a chain that is not trusted', [empty, clean], { ca: [family().root.pem] })
  list('a leaf alone that is not trusted', [empty, clean], { chain: [leaf], ca: [family().root.pem] })
  const silentRoot = family({ root: saying({ keyUsage: keyUsage([CERTIFICATES], 2) }), middle: null })
  add('lists', 'of an authority that may not sign them', silentRoot, {
    options: { crl: [revocationList(silentRoot.root)] },
  })
  const own = family({ middle: null, root: saying({ keyUsage: null }) })
  add('lists', 'a pinned leaf without one', own, {
    chain: [own.root],
    options: { crl: [revocationList(family().root)] },
  })
}

// How what is trusted is written.
{
  const made = family()
  const { leaf, middle, root } = made
  const other = family().root.pem
  const mark = '\ufeff'
  const body = root.pem.replace(/-----.*-----\n/g, '')
  const texts = {
    'a byte order mark': mark + root.pem,
    'a byte order mark, as bytes': Buffer.from(mark + root.pem),
    'a byte order mark in the middle': other + mark + root.pem,
    'a byte order mark in each of two': [mark + other, mark + root.pem],
    'the label TRUSTED CERTIFICATE': pemOf('TRUSTED CERTIFICATE', root.der),
    'the label X509 CERTIFICATE': pemOf('X509 CERTIFICATE', root.der),
    'an unknown label': pemOf('A CERTIFICATE', root.der),
    'an unknown label before it': pemOf('A CERTIFICATE', root.der) + root.pem,
    'tabs at the ends of lines': root.pem.replaceAll('\n', '\t\n'),
    'spaces at the ends of lines': root.pem.replaceAll('\n', '  \n'),
    'spaces before lines': root.pem.replaceAll(/^/gm, ' '),
    'carriage returns': root.pem.replaceAll('\n', '\r\n'),
    'carriage returns only': root.pem.replaceAll('\n', '\r'),
    'words around it': `Root of all tests\n====\n${root.pem}The end\n`,
    'words with umlauts around it': Buffer.from(`für Tests\n${root.pem}\n`, 'latin1'),
    'a key before it': keyOf('root').pem + root.pem,
    'no last line break': root.pem.trimEnd(),
    'one long line': `-----BEGIN CERTIFICATE-----\n${body.replaceAll('\n', '')}\n-----END CERTIFICATE-----\n`,
    'lines of odd lengths': `-----BEGIN CERTIFICATE-----\n${body.replaceAll('\n', '').replaceAll(/.{50}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    'a blank line in it': root.pem.replace('\n', '\n\n'),
    'a blank line in the middle of it': root.pem.replace(/\n(.*\n)(?=.*\n-----END)/, '\n$1\n'),
    'a broken one before it': [other.replace(/M/g, '%'), root.pem],
    'a broken one before it in one text': other.replace(/M/g, '%') + root.pem,
    'one that is cut off before it in one text': other.slice(0, 300) + root.pem,
    'one that is no certificate before it in one text':
      pemOf('CERTIFICATE', Buffer.from('3003020100', 'hex')) + root.pem,
    'a broken one behind it': root.pem + other.replace(/M/g, '%'),
    'bytes behind the certificate': pemOf('CERTIFICATE', Buffer.concat([root.der, Buffer.from('00', 'hex')])),
    'nothing in it': 'nothing',
    'an empty text': '',
    'an empty list': [],
    'a list in a list': [[root.pem]],
    'a number': 5,
  }
  for (const [title, ca] of Object.entries(texts)) add('texts', title, made, { ca })
  const id = (purpose) => objectId(purpose)
  const aux = (...parts) => pemOf('TRUSTED CERTIFICATE', Buffer.concat([root.der, sequence(...parts)]))
  const words = {
    'trusted for servers': aux(sequence(id(SERVER))),
    'trusted for clients': aux(sequence(id(CLIENT))),
    'trusted for anything': aux(sequence(id(ANY_PURPOSE))),
    'trusted for nothing': aux(sequence()),
    'rejected for servers': aux(element(0xa0, id(SERVER))),
    'rejected for clients': aux(element(0xa0, id(CLIENT))),
    'a name only': aux(element(0x0c, Buffer.from('Root'))),
    malformed: pemOf('TRUSTED CERTIFICATE', Buffer.concat([root.der, NULL])),
  }
  for (const [title, ca] of Object.entries(words)) add('words beside a certificate', title, made, { ca })
  const trusted = ({ der }) => pemOf('TRUSTED CERTIFICATE', Buffer.concat([der, sequence(sequence(id(SERVER)))]))
  add('words beside a certificate', 'the link is trusted', made, { ca: trusted(middle) })
  add('words beside a certificate', 'the leaf is trusted', made, { chain: [leaf], ca: trusted(leaf) })
  const client = family({ root: saying({ purposes: purposes([CLIENT]) }) })
  add('words beside a certificate', 'trusted in spite of its purposes', client, { ca: trusted(client.root) })
}

module.exports = { groups, unmade }
