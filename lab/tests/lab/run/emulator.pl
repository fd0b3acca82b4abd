# A stand-in for QEMU, of the kind that a guest took over: it says what passthru asks for, and attacks
# once the guest is let go. $mode says how, $notes is a file that gets a line for each thing that happens.
use strict;
use warnings;
use Socket;
$| = 1;
$SIG{PIPE} = 'IGNORE';

sub note {
    open(my $file, '>>', $notes) or return;
    print $file "$_[0]\n";
    close($file);
}

# Says a text over and over.
sub flood {
    my ($to, $text, $begin) = @_;
    syswrite($to, $begin // '');
    # A standard error that is full does not wait.
    1 while defined(syswrite($to, $text))
        or ($!{EAGAIN} and select(undef, undef, undef, 0.01) == 0);
    sleep 1 while 1;
}

# Not JSON, and not for a terminal.
my $garbage = "\e]0;owned\a\xc2\x9b2J" . 'y' x 900000 . "\n";
my %answers = (
    'qom-list-types' => '[{"name":"memory-backend-ram"},{"name":"pcie-root-port"},{"name":"ich9-ahci"}]',
    'device-list-properties' => '[]',
    'query-target' => '{"arch":"x86_64"}',
    'query-version' => '{"qemu":{"major":11,"minor":1,"micro":3},"package":""}',
    'query-machines' => '[{"name":"pc-q35-11.1","alias":"q35"}]',
    'query-chardev' => '[]',
);
my %attacks = (
    'long event' => sub { flood($_[0], 'x' x 65536, '{"event":"X","data":"') },
    'long values' => sub { flood($_[0], '{"":0},' x 9000, '{"event":"X","data":[') },
    'many values' => sub { flood($_[0], '{"event":"X","data":[' . '{"":{"":0}},' x 4000 . "0]}\n") },
    'garbage' => sub { syswrite($_[0], $garbage); sleep 1 while 1 },
    'endless answers' => sub { flood($_[0], "{\"return\":{},\"id\":4711}\n" x 1000) },
    'endless resets' => sub { flood($_[0], qq({"event":"SHUTDOWN","data":{"reason":"guest-reset"}}\n) x 1000) },
    'deep' => sub { flood($_[0], '[' x 100 . ']' x 100 . "\n") },
    'words' => sub { flood(\*STDERR, "\e[2J" . 'z' x 70000) },
    'silent' => sub { sleep 1 while 1 },
);

# Answers commands until the other side closes.
sub serve {
    my ($in, $out) = @_;
    syswrite($out, "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n");
    while (my $line = <$in>) {
        my ($command) = $line =~ /"execute":"([^"]*)"/ or next;
        my ($id) = $line =~ /"id":(\d+)/;
        note($command);
        sleep 1 while $mode eq "silent at $command";
        flood($out, ' {"return":{},"id":4711}' . "\n") if $mode eq "endless at $command";
        sleep 29 if $mode eq "late at $command";
        exit 0 if $command eq 'quit';
        exit 1 if $mode eq "gone at $command";
        if ($mode eq "refuse at $command") {
            syswrite($out, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":$id}\n");
            next;
        }
        if ($mode eq "echo at $command") {
            chomp(my $text = $line);
            $text =~ s/["\\]/\\$&/g;
            syswrite($out, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"$text\"},\"id\":$id}\n");
            next;
        }
        syswrite($out, $garbage) if $mode eq "garbage at $command";
        my $answer = $answers{$command} // '{}';
        syswrite($out, "{\"return\":$answer,\"id\":$id}\n");
        syswrite($out, "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-shutdown\"}}\n")
            if $command eq 'system_powerdown';
        exit 1 if $command eq 'cont' && $mode eq 'crash';
        $attacks{$mode}->($out) if $command eq 'cont' && $attacks{$mode};
    }
}

my $line = join(' ', @ARGV);
if ($line =~ /-qmp stdio/) {
    $mode = $mode =~ /^(.*) when asked$/ ? "$1 at qom-list-types" : 'polite';
    serve(\*STDIN, \*STDOUT);
    exit;
}
exit 1 if $mode eq 'refuse';
$SIG{TERM} = $mode eq 'polite' ? sub { note('SIGTERM'); exit 0 } : 'IGNORE';
my ($number) = $line =~ /fd=(\d+)[^ ]*server=on/ or die "no monitor in: $line\n";
open(my $listener, '+<&=', $number) or die "the monitor: $!\n";
accept(my $monitor, $listener) or die "accept: $!\n";
serve($monitor, $monitor);
sleep 1 while 1;
