/*
 * A JSON:API server that others have written (json-api-nestjs over TypeORM), with a few suppliers and
 * their price lists in a PostgreSQL database. What is expected of it is test_foreign_servers.py's.
 *
 * usage: node server.js HOST PORT DATABASE USER, in a directory that has the packages; prints
 * "listening on URL"
 */
'use strict';

const {createRequire} = require('node:module');

const installed = createRequire(process.cwd() + '/');
installed('reflect-metadata');
const {Module} = installed('@nestjs/common');
const {NestFactory} = installed('@nestjs/core');
const {TypeOrmModule} = installed('@nestjs/typeorm');
const orm = installed('typeorm');
const {JsonApiModule} = installed('json-api-nestjs');
const {DocumentBuilder, SwaggerModule} = installed('@nestjs/swagger');

const SUPPLIERS = 7;
const LISTS = 130;

class Suppliers {}
class PriceLists {}

/* what TypeScript's decorators would have written beside a property */
function property(entity, name, type, ...decorators) {
	Reflect.defineMetadata('design:type', type, entity.prototype, name);
	for (const decorate of decorators)
		decorate(entity.prototype, name);
}

property(Suppliers, 'id', Number, orm.PrimaryGeneratedColumn());
property(Suppliers, 'name', String, orm.Column({type: 'varchar', unique: true}));
property(Suppliers, 'lists', Array, orm.OneToMany(() => PriceLists, (list) => list.supplier));
orm.Entity('suppliers')(Suppliers);

property(PriceLists, 'id', Number, orm.PrimaryGeneratedColumn());
property(PriceLists, 'label', String, orm.Column({type: 'varchar', unique: true}));
property(PriceLists, 'itemCount', Number, orm.Column({type: 'int', nullable: true}));
property(PriceLists, 'isOpen', Boolean, orm.Column({type: 'boolean', default: true}));
property(PriceLists, 'validFrom', Date, orm.Column({type: 'timestamptz', nullable: true}));
property(PriceLists, 'supplier', Suppliers, orm.ManyToOne(() => Suppliers, (supplier) => supplier.lists),
	orm.JoinColumn({name: 'supplier_id'}));
orm.Entity('price_lists')(PriceLists);

async function fill(source) {
	const suppliers = [];

	for (let i = 1; i <= SUPPLIERS; i++)
		suppliers.push(await source.getRepository(Suppliers).save({name: `Supplier ${i}`}));
	for (let i = 1; i <= LISTS; i++)
		await source.getRepository(PriceLists).save({
			label: `List ${i}`, itemCount: i % 20 === 0 ? null : i * 3 % 101, isOpen: i % 4 !== 0,
			validFrom: new Date(Date.UTC(2026, 0, i)), supplier: i % 9 === 0 ? null : suppliers[i % SUPPLIERS],
		});
}

async function main([host, port, database, username]) {
	class App {}

	Module({
		imports: [
			TypeOrmModule.forRoot({
				type: 'postgres', host, port: Number(port), database, username, synchronize: true,
				entities: [Suppliers, PriceLists],
			}),
			JsonApiModule.forRoot({entities: [Suppliers, PriceLists], options: {requiredSelectField: false}}),
		],
	})(App);
	const app = await NestFactory.create(App, {logger: ['error']});

	app.setGlobalPrefix('api');
	/* what it says of itself is whole only when it runs */
	app.getHttpAdapter().get('/openapi.json', (request, response) =>
		response.json(SwaggerModule.createDocument(app, new DocumentBuilder().build())));
	await fill(app.get(orm.DataSource));
	await app.listen(0, '127.0.0.1');
	console.log(`listening on http://127.0.0.1:${app.getHttpServer().address().port}/api`);
}

main(process.argv.slice(2));
