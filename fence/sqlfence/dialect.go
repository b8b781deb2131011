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

// String is its name.
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

// statements are what a Register says. accept writes the greater of the fence it is given and the one that is there, and
// so locks the row whichever it is. It returns what is there now, or what does is read. reset removes the row.
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
		// MySQL has no RETURNING, and MariaDB does not have what MySQL put in the place of VALUES(fence).
		accept: "INSERT INTO `%s` (resource, fence) VALUES (?, ?) ON DUPLICATE KEY UPDATE fence = GREATEST(fence, ?)",
		read:   "SELECT fence FROM `%s` WHERE resource = ? FOR UPDATE", // else it would be that of the snapshot
		reset:  "DELETE FROM `%s` WHERE resource = ?",
	},
	SQLite: {
		schema: `CREATE TABLE IF NOT EXISTS "%s" (resource TEXT NOT NULL PRIMARY KEY, fence INTEGER NOT NULL) WITHOUT ROWID`,
		accept: `INSERT INTO "%s" (resource, fence) VALUES (?, ?)
ON CONFLICT (resource) DO UPDATE SET fence = max(fence, excluded.fence) RETURNING fence`,
		reset: `DELETE FROM "%s" WHERE resource = ?`,
	},
}

// on puts the name of a table into the statements: a name or schema.name, which was checked.
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
