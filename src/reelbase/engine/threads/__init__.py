"""Where the event loop and the threads of the connections meet."""
