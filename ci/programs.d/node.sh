#!/bin/sh
# Node.js: the event loop, files, compression, a worker thread, a child process.
set -eu
cd "$(mktemp -d)"
cat >main.js <<'J'
const { execFileSync, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const { Worker } = require('node:worker_threads');
const zlib = require('node:zlib');

async function main() {
  await new Promise((done) => setTimeout(done, 20));
  console.log('timer');
  await fs.promises.writeFile('data', 'x'.repeat(1 << 20));
  const data = await fs.promises.readFile('data');
  console.log(crypto.createHash('sha256').update(data).digest('hex'));
  const packed = await new Promise((done, failed) =>
    zlib.gzip(data, (error, out) => (error ? failed(error) : done(out))));
  console.log(zlib.gunzipSync(packed).equals(data));
  const answer = await new Promise((done, failed) => {
    const worker = new Worker(
      "const { parentPort } = require('node:worker_threads'); let n = 0; for (let i = 0; i < 1e6; i++) n += i % 3; parentPort.postMessage(n)",
      { eval: true });
    worker.once('message', done);
    worker.once('error', failed);
  });
  console.log('worker', answer);
  console.log(execFileSync('echo', ['from a child']).toString().trim());
  const child = spawn('cat');
  let out = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stdin.end('through cat');
  await new Promise((done) => child.on('close', done));
  console.log(out);
}
main().catch((error) => { console.error(error); process.exit(1); });
J
node main.js
