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

// reserved removes variables that the job sets for the rendezvous: it would be refused for them.
func (c *conversion) reserved() {
	layout, known := framework.Resolve(c.typed())
	for i := range c.parts {
		c.renamedHosts(&c.parts[i])
		if !known {
			continue
		}
		member := framework.Member{Layout: layout, Role: layout.Find(c.parts[i].Name)}
		c.unset(&c.parts[i], layout.Reserved(member))
	}
}

// unset removes variables from the containers of a role.
func (c *conversion) unset(p *part, reserved []string) {
	for i, container := range containersOf(podOf(p)) {
		list, ok := container["env"].([]any)
		if !ok {
			continue
		}
		list = slices.DeleteFunc(list, func(item any) bool {
			variable, _ := item.(map[string]any)
			name, _ := variable["name"].(string)
			if !slices.Contains(reserved, name) {
				return false
			}
			c.lost(fmt.Sprintf("%s.template.spec.containers[%d].env", p.path, i), "%s is set by the job for the rendezvous", name)
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
