// What a Java program does with the tables, through PgJDBC: see main. Owns no expectations: test/t/test_clients.py has them.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/**
 * PgJDBC as an application uses it, a step at a time: reads one step a line, its words separated
 * by tabs, and answers each with one line of words in the same way, so that whoever drives it can
 * count requests in between. An error is answered with "error" and its SQLSTATE. What is expected
 * is test_clients.py's.
 *
 * usage: java -cp postgresql.jar Client.java jdbc:postgresql://...
 */
public class Client {
	private final Connection connection;

	private Client(Connection connection) {
		this.connection = connection;
	}

	/** Reads a result to its end; the values of one of its columns. */
	private static List<String> values(ResultSet result, int column) throws SQLException {
		List<String> values = new ArrayList<>();

		try (result) {
			while (result.next()) {
				values.add(String.valueOf(result.getString(column)));
			}
		}
		return values;
	}

	/** What a browser of databases asks when somebody opens its tree. */
	private List<String> browse(String schema, String relation) throws SQLException {
		DatabaseMetaData data = connection.getMetaData();
		List<String> all = new ArrayList<>();

		values(data.getCatalogs(), 1);
		values(data.getSchemas(), 1);
		values(data.getTableTypes(), 1);
		values(data.getTypeInfo(), 1);
		values(data.getFunctions(null, schema, "%"), 3);
		all.addAll(values(data.getTables(null, schema, "%", null), 3));
		for (String table : List.copyOf(all)) {
			values(data.getPrimaryKeys(null, schema, table), 4);
			values(data.getIndexInfo(null, schema, table, false, true), 6);
			values(data.getImportedKeys(null, schema, table), 3);
			values(data.getExportedKeys(null, schema, table), 3);
			values(data.getBestRowIdentifier(null, schema, table, DatabaseMetaData.bestRowSession, true), 2);
			values(data.getVersionColumns(null, schema, table), 2);
			values(data.getTablePrivileges(null, schema, table), 3);
			values(data.getColumnPrivileges(null, schema, table, "%"), 4);
		}
		all.addAll(values(data.getColumns(null, schema, relation, "%"), 4));
		return all;
	}

	/** The columns of a query that is described and not run. */
	private List<String> describe(String query) throws SQLException {
		List<String> names = new ArrayList<>();

		try (PreparedStatement statement = connection.prepareStatement(query)) {
			ResultSetMetaData data = statement.getMetaData();

			for (int i = 1; i <= data.getColumnCount(); i++) {
				names.add(data.getColumnName(i) + " " + data.getColumnTypeName(i) + " " + data.isNullable(i));
			}
		}
		return names;
	}

	private List<String> query(String query, List<String> parameters) throws SQLException {
		try (PreparedStatement statement = connection.prepareStatement(query)) {
			for (int i = 0; i < parameters.size(); i++) {
				statement.setString(i + 1, parameters.get(i));
			}
			if (statement.execute()) {
				return values(statement.getResultSet(), 1);
			}
			return List.of(String.valueOf(statement.getUpdateCount()));
		}
	}

	/** Takes so many rows of a query through a portal of pages, and leaves. */
	private List<String> take(int page, int rows, String query) throws SQLException {
		List<String> taken = new ArrayList<>();

		connection.setAutoCommit(false);
		try (Statement statement = connection.createStatement()) {
			statement.setFetchSize(page);
			try (ResultSet result = statement.executeQuery(query)) {
				while (taken.size() < rows && result.next()) {
					taken.add(result.getString(1));
				}
			}
		} finally {
			connection.rollback();
			connection.setAutoCommit(true);
		}
		return taken;
	}

	/** Rows of one column each, as a batch; the keys that the API gave. */
	private List<String> insert(String query, List<String> rows) throws SQLException {
		try (PreparedStatement statement = connection.prepareStatement(query, new String[] {"id"})) {
			for (String row : rows) {
				statement.setString(1, row);
				statement.addBatch();
			}
			statement.executeBatch();
			return values(statement.getGeneratedKeys(), 1);
		}
	}

	private List<String> step(List<String> words) throws SQLException {
		switch (words.get(0)) {
			case "browse":
				return browse(words.get(1), words.get(2));
			case "describe":
				return describe(words.get(1));
			case "query":
				return query(words.get(1), words.subList(2, words.size()));
			case "take":
				return take(Integer.parseInt(words.get(1)), Integer.parseInt(words.get(2)), words.get(3));
			case "insert":
				return insert(words.get(1), words.subList(2, words.size()));
			default:
				throw new IllegalArgumentException(words.get(0));
		}
	}

	public static void main(String[] arguments) throws Exception {
		BufferedReader steps = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

		try (Connection connection = DriverManager.getConnection(arguments[0])) {
			Client client = new Client(connection);

			for (String line = steps.readLine(); line != null; line = steps.readLine()) {
				List<String> answer;

				try {
					answer = client.step(List.of(line.split("\t")));
				} catch (SQLException error) {
					answer = List.of("error", error.getSQLState());
				}
				System.out.println(String.join("\t", answer));
			}
		}
	}
}
