/*
 * node-postgres as an application uses it, a step at a time: reads one step a line, as JSON, and
 * answers each with one line, so that whoever drives it can count requests in between. What is
 * expected is test_clients.py's.
 *
 * usage: node client.js HOST PORT DATABASE USER, in a directory that has pg and pg-cursor
 */
'use strict';

const readline = require('node:readline');
const {createRequire} = require('node:module');

const installed = createRequire(process.cwd() + '/');
const {Client} = installed('pg');
const Cursor = installed('pg-cursor');

const COLUMNS = `SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
	WHERE table_schema = $1 ORDER BY table_name, ordinal_position`;

/* so many rows of a query through a portal of pages */
async function take(client, {query, page, rows}) {
	const cursor = client.query(new Cursor(query));
	const taken = [];

	while (taken.length < rows) {
		const some = await cursor.read(page);

		if (some.length === 0)
			break;
		taken.push(...some);
	}
	await cursor.close();
	return {rows: taken.slice(0, rows)};
}

async function ask(client, {query, parameters, name}) {
	const result = await client.query({text: query, values: parameters, name});

	return {fields: result.fields.map((field) => field.name), rows: result.rows, count: result.rowCount};
}

async function run(client, step) {
	switch (step.do) {
		case 'browse':
			return ask(client, {query: COLUMNS, parameters: [step.schema]});
		case 'ask':
			return ask(client, step);
		case 'take':
			return take(client, step);
		default:
			throw new Error(`no such step: ${step.do}`);
	}
}

async function main([host, port, database, user]) {
	const client = new Client({host, port: Number(port), database, user});

	await client.connect();
	for await (const line of readline.createInterface({input: process.stdin})) {
		const answer = await run(client, JSON.parse(line)).catch((error) => ({error: error.code || String(error)}));

		console.log(JSON.stringify(answer));
	}
	await client.end();
}

main(process.argv.slice(2));
