package main

import "github.com/spf13/cobra"

func newRecover(e *environment) *cobra.Command { return &cobra.Command{Use: "recover", Hidden: true} }
