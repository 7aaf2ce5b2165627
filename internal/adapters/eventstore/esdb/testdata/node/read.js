// Reads a stream and $all by another client, and prints what it found as JSON: node read.js CONNECTION STREAM
const { EventStoreDBClient, FORWARDS, START } = require("@eventstore/db-client");

const told = (e) => ({
  stream: e.streamId,
  revision: Number(e.revision),
  id: e.id,
  type: e.type,
  data: e.data,
  metadata: e.metadata,
  position: e.position && { commit: String(e.position.commit), prepare: String(e.position.prepare) },
});

async function collect(events) {
  const found = [];
  for await (const { event } of events) {
    if (event && !event.streamId.startsWith("$")) found.push(told(event));
  }
  return found;
}

async function main([connection, stream]) {
  const client = EventStoreDBClient.connectionString(connection);
  const of = await collect(client.readStream(stream, { direction: FORWARDS, fromRevision: START }));
  const all = await collect(client.readAll({ direction: FORWARDS, fromPosition: START }));
  console.log(JSON.stringify({ of, all }));
  await client.dispose();
}

main(process.argv.slice(2)).catch((err) => {
  console.error(err);
  process.exit(1);
});
