/*
 * A picture of the chart that Cube's Playground draws of a query, taken by Debian's Chromium.
 *
 * usage: node shot.js URL QUERY OUT.png, in a directory that has puppeteer-core
 */
'use strict';

const {createRequire} = require('node:module');

const puppeteer = createRequire(process.cwd() + '/')('puppeteer-core');

/* clicks the innermost element that carries this text */
async function press(page, text) {
	const carries = `normalize-space(.)="${text}"`;
	const found = await page.waitForSelector(`::-p-xpath(//*[${carries} and not(*[${carries}])])`, {visible: true});

	await found.click();
}

/* the chart lives in a frame of its own, and has settled once two pictures of it are alike */
async function drawn(page) {
	const frame = await page.waitForFrame(async (one) => one.parentFrame() && await one.$('canvas'));
	const canvas = await frame.waitForSelector('canvas');
	let before = null;

	for (;;) {
		const now = await canvas.screenshot({encoding: 'base64'});

		if (now === before)
			return;
		before = now;
		await frame.evaluate(() => new Promise((done) => setTimeout(done, 500)));
	}
}

async function main([url, query, out]) {
	const browser = await puppeteer.launch({
		executablePath: '/usr/bin/chromium',
		args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars',
			'--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
		defaultViewport: {width: 1280, height: 830},
	});

	try {
		const page = await browser.newPage();

		await page.goto(`${url}/#/build?query=${encodeURIComponent(query)}`, {waitUntil: 'networkidle2'});
		await press(page, 'Run');
		await drawn(page);
		await page.screenshot({path: out});
	} finally {
		await browser.close();
	}
}

main(process.argv.slice(2)).catch((error) => {
	console.error(error);
	process.exit(1);
});
