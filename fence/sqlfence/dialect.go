package sqlfence

import (
	"fmt"
	"strings"
)

// Dialect is the SQL that a database understands.
type Dialect int

const (
	// PostgreSQL is version 9.5 and later.
	PostgreSQL Dialect = iota + 1
	// MySQL is version 5.7 and later with InnoDB, and MariaDB.
	MySQL
	// SQLite is version 3.35 and later.
	SQLite
)

// String is the name of the database.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// statements are the SQL of a Register. accept writes the greater of the given fence and the one in the table, and so
// locks the row in either case. It returns the fence that is then in the table; if it cannot, read does that. reset
// removes the row.
type statements struct {
	schema, accept, read, reset string
}

// Names of resources are compared by their bytes, not as a collation of the database would have it.
var dialects = map[Dialect]statements{
	PostgreSQL: {
		schema: `CREATE TABLE IF NOT EXISTS "%s" (resource text COLLATE "C" PRIMARY KEY, fence bigint NOT NULL)`,
		accept: `INSERT INTO "%s" AS seen (resource, fence) VALUES ($1, $2)
ON CONFLICT (resource) DO UPDATE SET fence = greatest(seen.fence, excluded.fence) RETURNING seen.fence`,
		reset: `DELETE FROM "%s" WHERE resource = $1`,
	},
	MySQL: {
		schema: "CREATE TABLE IF NOT EXISTS `%s` (resource VARBINARY(512) NOT NULL PRIMARY KEY, fence BIGINT NOT NULL) ENGINE=InnoDB",
		// MySQL has no RETURNING, and MariaDB lacks the syntax by which MySQL replaced VALUES(fence).
		accept: "INSERT INTO `%s` (resource, fence) VALUES (?, ?) ON DUPLICATE KEY UPDATE fence = GREATEST(fence, ?)",
		read:   "SELECT fence FROM `%s` WHERE resource = ? FOR UPDATE", // without FOR UPDATE it would be the fence of the snapshot
		reset:  "DELETE FROM `%s` WHERE resource = ?",
	},
	SQLite: {
		schema: `CREATE TABLE IF NOT EXISTS "%s" (resource TEXT NOT NULL PRIMARY KEY, fence INTEGER NOT NULL) WITHOUT ROWID`,
		accept: `INSERT INTO "%s" (resource, fence) VALUES (?, ?)
ON CONFLICT (resource) DO UPDATE SET fence = max(fence, excluded.fence) RETURNING fence`,
		reset: `DELETE FROM "%s" WHERE resource = ?`,
	},
}

// on puts the name of a table into the statements. The name, or schema.name, was checked before.
func (s statements) on(table string) statements {
	for _, text := range []*string{&s.schema, &s.accept, &s.read, &s.reset} {
		quote := ""
		if _, after, found := strings.Cut(*text, "%s"); found {
			quote = after[:1]
		}
		*text = strings.ReplaceAll(*text, "%s", strings.ReplaceAll(table, ".", quote+"."+quote))
	}
	return s
}
