package doctor

import (
	"fmt"
	"strings"
)

// persistence checks what the server still knows after a restart.
func persistence(f *facts) []Finding {
	const check = "persistence"
	if u := f.unasked(check, "aof_enabled"); u != nil {
		return u
	}
	if f.info["aof_enabled"] == "1" {
		return appendOnly(f)
	}
	if u := f.unset(check, "save"); u != nil {
		u[0].Found = "no append-only file; whether it saves snapshots is not known: " + u[0].Found
		return u
	}
	fix := set("appendonly", "yes")
	if points := f.config["save"]; points != "" {
		return []Finding{{
			Check: check, Level: Warning, Found: fmt.Sprintf("snapshots (save %s), no append-only file", points),
			Why: "after a crash the server knows only what the last snapshot has: locks that were granted since are free, and so are granted to a second owner; " +
				"each holder learns it at its next renewal.",
			Fix: fix,
		}}
	}
	found := Finding{
		Check: check, Level: Danger, Found: "none: neither an append-only file nor snapshots",
		Why: "every restart, a planned one too, forgets all locks: they are granted to others while their holders still rely on them, " +
			"until their next renewal. Fences go on rising, by the clock.",
		Fix: fix,
	}
	if n, _ := number(f.info, "connected_slaves"); n > 0 {
		found.Why += " If it restarts before a failover, its replicas copy the empty server."
	}
	return []Finding{found}
}

func appendOnly(f *facts) []Finding {
	const check = "persistence"
	if u := f.unset(check, "appendfsync"); u != nil {
		return well(check, "append-only file") // how often it is written to disk is not shown
	}
	switch sync := f.config["appendfsync"]; sync {
	case "always":
		return well(check, "append-only file, appendfsync always: nothing is lost")
	case "no":
		return []Finding{{
			Check: check, Level: Warning, Found: "append-only file, but appendfsync no",
			Why: "a machine that fails loses what its system had not written yet, half a minute on Linux: locks of that time are granted to a second owner.",
			Fix: set("appendfsync", "everysec"),
		}}
	default:
		return well(check, "append-only file, appendfsync %s: a machine that fails loses the locks of about the last second", sync)
	}
}

// failures checks whether the data could be written to disk, and whether the server is still loading it.
func failures(f *facts) []Finding {
	const check = "disk"
	if f.info["loading"] == "1" {
		text := "the server is loading its data"
		if eta := f.info["loading_eta_seconds"]; eta != "" {
			text += ", for about " + eta + " s more"
		}
		return []Finding{{
			Check: check, Level: Danger, Found: text,
			Why: "until it has done so it refuses every request (LOADING): no lock is granted or renewed, and leases run out.",
			Fix: "wait; INFO persistence shows how far it is",
		}}
	}
	if u := f.unasked(check, "rdb_last_bgsave_status"); u != nil {
		return u
	}
	var failed []string
	level := Warning
	if f.info["aof_last_write_status"] == "err" {
		failed, level = append(failed, "the last write of the append-only file"), Danger
	}
	if f.info["rdb_last_bgsave_status"] == "err" {
		failed = append(failed, "the last snapshot")
		if f.config["save"] != "" && f.config["stop-writes-on-bgsave-error"] == "yes" {
			level = Danger
		}
	}
	if f.info["aof_last_bgrewrite_status"] == "err" {
		failed = append(failed, "the last rewrite of the append-only file")
	}
	if len(failed) == 0 {
		return well(check, "the last writes of its data went well")
	}
	why := "what is not written is forgotten at the next restart, and its locks are granted twice."
	if level == Danger {
		why = "until a write succeeds the server refuses all others (MISCONF): no lock is granted or renewed."
	}
	return []Finding{{
		Check: check, Level: level, Found: "failed: " + strings.Join(failed, ", "), Why: why,
		Fix: "make room on its disk and see its log, then BGSAVE (or BGREWRITEAOF) and look again",
	}}
}
