// The cube over tpm.third_parties that test/t/test_cube.py asks about.
cube('third_parties', {
	sql: `SELECT * FROM tpm.third_parties`,
	measures: {
		count: {type: 'count'},
	},
	dimensions: {
		id: {sql: 'id', type: 'string', primaryKey: true},
		status: {sql: 'status', type: 'string'},
		risk_rating: {sql: 'risk_rating', type: 'string'},
		country: {sql: 'country', type: 'string'},
		created_at: {sql: 'created_at', type: 'time'},
	},
});
