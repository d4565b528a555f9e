/*
 * A JSON:API server that others have written (fortune, fortune-http, fortune-json-api), with a few
 * books and their authors in memory. What is expected of it is test_foreign_servers.py's.
 *
 * usage: node server.js, in a directory that has the packages; prints "listening on URL"
 */
'use strict';

const http = require('node:http');
const {createRequire} = require('node:module');

const installed = createRequire(process.cwd() + '/');
const fortune = installed('fortune');
const fortuneHTTP = installed('fortune-http');
const jsonApi = installed('fortune-json-api');

const AUTHORS = 12;
const BOOKS = 90;

const store = fortune({
	author: {
		fullName: String,
		bornOn: Date,
		books: [Array('book'), 'author'],
	},
	book: {
		title: String,
		pageCount: Number,
		inPrint: Boolean,
		tags: Array(String),
		author: ['author', 'books'],
	},
});

async function fill() {
	const authors = [];
	const books = [];

	for (let i = 1; i <= AUTHORS; i++)
		authors.push({id: i, fullName: `Author ${i}`, bornOn: new Date(Date.UTC(1900 + i, 0, i))});
	for (let i = 1; i <= BOOKS; i++)
		books.push({
			id: i, title: `Book ${String(i).padStart(3, '0')}`, pageCount: 100 + i * 7 % 83, inPrint: i % 3 !== 0,
			tags: i % 2 ? ['odd', 'paper'] : [], author: i % 10 === 0 ? null : i % AUTHORS + 1,
		});
	await store.create('author', authors);
	await store.create('book', books);
}

async function main() {
	const listener = fortuneHTTP(store, {serializers: [[jsonApi, {maxLimit: 50}]]});
	const server = http.createServer((request, response) => {
		listener(request, response).catch((error) => console.error(error));
	});

	await fill();
	server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
}

main();
