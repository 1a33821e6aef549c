// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
)

// row is a setting as a line of docs/search.md.
func row(s Setting) string {
	name := "`" + s.Name + "`"
	for _, alias := range s.Aliases {
		name += ", `" + alias + "`"
	}
	values := map[Kind]string{
		Whole: "a whole number " + s.Range.String(), Real: "a number " + s.Range.String(), Enum: strings.Join(s.Words, ", "), Text: "any text",
	}[s.Kind]
	return fmt.Sprintf("| %s | %s | %s | %s |", name, strings.TrimSuffix(values, " any"), cmp.Or(s.Default, "-"), s.Doc)
}

func TestTheDocumentationHasEveryAlgorithmAndSetting(t *testing.T) {
	text, err := os.ReadFile("../../docs/search.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, a := range algorithms {
		want = append(want, fmt.Sprintf("### %s\n\n%s (`%s`) %s.", a.Name, a.Name, strings.Join(a.Aliases, "`, `"), a.Doc))
		for _, s := range a.Settings {
			want = append(want, row(s))
		}
	}
	for _, r := range stopRules {
		want = append(want, fmt.Sprintf("### %s as a rule\n\n%s %s.", r.Name, r.Name, r.Doc))
		for _, s := range r.Settings {
			want = append(want, row(s))
		}
	}
	for _, w := range want {
		if !strings.Contains(string(text), w) {
			t.Errorf("docs/search.md lacks:\n%s", w)
		}
	}
}
