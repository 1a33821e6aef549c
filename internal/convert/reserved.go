// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// reserved removes variables that the job sets for the rendezvous: it would be refused for them. A mere default, which the
// user's own value would replace here, is removed where the original puts its value over the user's.
func (c *conversion) reserved() {
	layout, known := framework.Resolve(c.typed())
	for i := range c.parts {
		c.renamedHosts(&c.parts[i])
		if !known {
			continue
		}
		c.unset(&c.parts[i], framework.Member{Layout: layout, Role: layout.Find(c.parts[i].Name)})
	}
}

// unset removes variables from the containers of a role that the job sets them in.
func (c *conversion) unset(p *part, m framework.Member) {
	reserved, over := m.Reserved(m), slices.DeleteFunc(slices.Clone(c.row.over), func(name string) bool { return !m.Sets(name) })
	if c.row.exec && m.Launches() {
		over = append(over, execVariables...)
	}
	for i, container := range containersOf(podOf(p)) {
		list, ok := container["env"].([]any)
		if !ok || m.Row.MainOnly && i != m.Role.Main {
			continue
		}
		list = slices.DeleteFunc(list, func(item any) bool {
			variable, _ := item.(map[string]any)
			name, _ := variable["name"].(string)
			path := fmt.Sprintf("%s.template.spec.containers[%d].env", p.path, i)
			switch {
			case slices.Contains(reserved, name):
				c.lost(path, "%s is set by the job for the rendezvous", name)
			case slices.Contains(over, name):
				c.note(path, "%s is left out: the original has its own value for it, whatever is set here", name)
			default:
				return false
			}
			return true
		})
		container["env"] = list
		if len(list) == 0 {
			delete(container, "env")
		}
	}
}

// renamedHosts looks for the hosts of the original: it has a Service for each pod, and the job has one.
func (c *conversion) renamedHosts(p *part) {
	if c.name() == "" {
		return
	}
	var roles []string
	for _, other := range c.parts {
		roles = append(roles, regexp.QuoteMeta(names.Lower(other.Name)))
	}
	hosts, err := regexp.Compile(`\b` + regexp.QuoteMeta(c.name()) + `-(workerset-)?(` + strings.Join(roles, "|") + `)-[0-9]+`)
	if err != nil {
		return
	}
	text, err := json.Marshal(p.template)
	if err != nil {
		return
	}
	var told []string
	for _, at := range hosts.FindAllIndex(text, -1) {
		host := string(text[at[0]:at[1]])
		if strings.HasPrefix(string(text[at[1]:]), "."+c.name()+".") || slices.Contains(told, host) {
			continue
		}
		told = append(told, host)
		c.note(p.path+".template", "names the host %s: hosts of a TrainingJob are <pod>.%s.<namespace>.svc", host, c.name())
	}
}
