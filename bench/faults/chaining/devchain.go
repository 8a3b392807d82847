package chaining

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Devchain is a caos-devchain of its own, for programs that are no tests.
type Devchain struct {
	Network
	program, dir string
	cmd          *exec.Cmd
	parent       io.Closer
}

// StartDevchain starts the program on a folder and deploys the registry from its first
// account. blockTime is the program's flag.
func StartDevchain(ctx context.Context, program, dir, blockTime string) (c *Devchain, err error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w: make bin/caos-devchain builds it", err)
	}
	c = &Devchain{program: program, dir: dir}
	c.cmd = exec.Command(program, "--data", dir, "--block-time", blockTime, "--until-eof")
	var stderr bytes.Buffer
	c.cmd.Stderr = &stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.parent, err = c.cmd.StdinPipe(); err != nil { // ends when this process does
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.New("caos-devchain did not start: " + stderr.String())
	}
	var info struct {
		URL          string `json:"url"`
		ChainID      uint64 `json:"chain_id"`
		PasswordFile string `json:"password_file"`
		Accounts     []struct{ Keystore string }
	}
	if err := readJSON(filepath.Join(dir, "devchain.json"), &info); err != nil {
		return nil, err
	}
	if c.Keystore, err = os.ReadFile(info.Accounts[0].Keystore); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(info.PasswordFile)
	if err != nil {
		return nil, err
	}
	c.URL, c.ChainID, c.Password = info.URL, info.ChainID, strings.TrimSpace(string(password))
	if c.BlockTime, _ = time.ParseDuration(blockTime); c.BlockTime == 0 {
		c.BlockTime = time.Second // as often as anybody looks
	}
	text, err := exec.CommandContext(ctx, program, "deploy", "--data", dir).Output()
	if err != nil {
		return nil, fmt.Errorf("caos-devchain deploy: %w", err)
	}
	var done struct{ Address string }
	err = json.Unmarshal(text, &done)
	c.Registry = done.Address
	return c, err
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// Close ends the program.
func (c *Devchain) Close() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
