'use strict'

const { ApiClient, NotFound } = require('./client.js')

async function main() {
  const api = new ApiClient({ baseUrl: process.env.API_URL, token: process.env.API_TOKEN })
  console.log('created', await api.createUser({ name: 'Ada' }))
  console.log('user', await api.user(1))
  await api.user(404).catch((error) => {
    if (!(error instanceof NotFound)) throw error
    console.log('not found', error.status)
  })
}

main()
