package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

const manHelp = `Writes the man pages into DIR, one for redislock and one for each of its commands. Without DIR it writes the page of redislock to
standard output, in the format of man.

`

func newMan() *cobra.Command {
	return &cobra.Command{
		Use:                   "man [DIR]",
		Short:                 "Write the man pages",
		Long:                  manHelp + exits(map[int]string{exitCannotRun: "the pages cannot be written"}, 0, exitUsage, exitCannotRun),
		Example:               "  redislock man | man -l -\n  sudo redislock man /usr/local/share/man/man1",
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			header := &doc.GenManHeader{Title: "REDISLOCK", Section: "1", Source: "redislock " + builtFrom().Version, Manual: "redislock"}
			root.InitDefaultHelpCmd()
			inMarkdown(root)
			if len(args) == 0 {
				return doc.GenMan(root, header, cmd.OutOrStdout())
			}
			header.Title = "" // each page has its own
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return exitWith(exitCannotRun, "%v; name a directory that can be written", err)
			}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return exitWith(exitCannotRun, "%v; name a directory that can be written", err)
			}
			return nil
		},
	}
}

// inMarkdown makes the help of a command and of those below what the pages are made from: paragraphs whose characters
// mean nothing else, and lists as they stand.
func inMarkdown(cmd *cobra.Command) {
	var out strings.Builder
	list := false
	for line := range strings.Lines(cmd.Long) {
		indented := strings.HasPrefix(line, " ")
		if indented != list {
			out.WriteByte('\n')
			list = indented
		}
		if indented {
			out.WriteString("    " + line)
		} else {
			out.WriteString(markdown.Replace(line))
		}
	}
	cmd.Long = out.String()
	for _, below := range cmd.Commands() {
		inMarkdown(below)
	}
}

var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, "#", `\#`)
