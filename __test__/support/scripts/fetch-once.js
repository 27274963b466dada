'use strict'

// One fetch; says what it came to.

const { fetch } = require('../../..')

fetch(process.argv[2])
  .then((response) => response.text())
  .then(
    (body) => console.log(JSON.stringify({ body })),
    (error) => console.log(JSON.stringify({ code: error.cause?.code ?? error.message })),
  )
